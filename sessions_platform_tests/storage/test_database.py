"""Messages of the database go into logs; the rows that they quote must not."""

import psycopg
import pytest
from psycopg import errors

from sessions_platform.storage.postgres.database import Database

SECRET = "card-4111-1111"


def fail(connection: psycopg.Connection) -> None:
    """Copy a row that breaks a constraint; PostgreSQL then quotes it twice."""
    connection.execute("create temporary table strict (payload text check (payload = 'x'), other text)")
    with connection.cursor() as cursor, cursor.copy("copy strict from stdin (format csv)") as copy:
        copy.write(f"{SECRET},DETAIL: and more\n")


def test_an_error_does_not_quote_rows(database: Database) -> None:
    with psycopg.connect(database.url) as connection, pytest.raises(errors.CheckViolation, match=SECRET):
        fail(connection)
    with pytest.raises(errors.CheckViolation) as caught, database.transaction() as connection:
        fail(connection)
    assert str(caught.value) == 'new row for relation "strict" violates check constraint "strict_payload_check"'
    assert SECRET not in repr(caught.value)
