from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.exactness.comparison import Environment
from sessions_platform_tests.lakes import lakes_in_memory

__all__ = ["environment", "lakes_in_memory"]


@pytest.fixture(scope="session")
def environment(database: Database, administrator: Database) -> Iterator[Environment]:
    """One lake and one PostgreSQL for all examples, each of which is a stream of its own name."""
    home = database._settings.home
    # with its URL: finding the embedded server at each connection would double the time
    settings = Settings(home=home, lake=home / "exactness", streams=(), warehouse_url=database.url)
    connect = psycopg.Connection[DictRow].connect
    with connect(administrator.url, autocommit=True, row_factory=dict_row, options="-c timezone=UTC") as connection:
        connection.prepare_threshold = None  # tables change under it
        yield Environment(settings, connection)
