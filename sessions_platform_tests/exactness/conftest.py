from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.exactness.pair import Site


@pytest.fixture(scope="session")
def site(database: Database) -> Iterator[Site]:
    """One lake and one PostgreSQL for all examples, each of which takes a stream name of its own."""
    home = database._settings.home
    # by its address: to look for the embedded server at every connection would double their price
    settings = Settings(home=home, lake=home / "exactness", streams=(), warehouse_url=database.url)
    connect = psycopg.Connection[DictRow].connect
    with connect(database.url, autocommit=True, row_factory=dict_row, options="-c timezone=UTC") as eyes:
        eyes.prepare_threshold = None  # tables change under it
        yield Site(settings, eyes)
