"""What is listed of scores. With models: ``sessions_platform_tests.pipeline.test_scores``."""

import dataclasses

import psycopg

from sessions_platform.operations.score_status import score_status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.streams import stream


def test_scores_are_listed_of_a_database_that_nothing_has_touched(administrator: Database) -> None:
    with psycopg.connect(administrator.url, autocommit=True) as connection:
        connection.execute("create database untouched")
    url = administrator.url.replace("/sessions?", "/untouched?")
    settings = dataclasses.replace(administrator._settings, warehouse_url=url)
    shop = stream(
        name="shop", session={"conversions": {"purchase": {"event_type": "purchase"}}}, scores={"purchase": {}}
    )
    (score,) = score_status(StreamContext.open(shop, settings, MemorySource()))
    assert (score["state"], score["due"]) == ("untrained", 0)
