"""Dagster's storage: several hosts may be the first to use it, and one of them makes its tables."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from dagster import AssetKey
from psycopg import connect
from sqlalchemy import make_url

from sessions_platform.orchestration import instance_storage
from sessions_platform.orchestration.instance_storage import InstanceStorage
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres import embedded
from sessions_platform.storage.postgres.database import Database

pytestmark = pytest.mark.slow
NAME = "empty_dagster"
_WAITING = "select count(*) from pg_stat_activity where datname = current_database() and wait_event = 'advisory'"


def test_who_finds_no_tables_waits_while_another_makes_them(settings: Settings, administrator: Database) -> None:
    with administrator.committing() as connection:
        connection.execute(f"create database {NAME}".encode())
    url = embedded.attach(settings.home).url(NAME)
    with_driver = make_url(url).set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)
    with connect(url, autocommit=True) as watching, ThreadPoolExecutor(1) as pool:
        with connect(url) as making:  # as another host
            making.execute(str(instance_storage._LOCK).encode())
            second: Future[InstanceStorage] = pool.submit(InstanceStorage, with_driver)
            while not second.done() and watching.execute(_WAITING).fetchone() == (0,):
                threading.Event().wait(0.05)  # PostgreSQL has no event for it
            assert watching.execute("select to_regclass('instance_info')").fetchone() == (None,)
        assert second.result(120).run_storage.get_runs() == []
        with connect(url) as making:
            making.execute(str(instance_storage._LOCK).encode())
            assert InstanceStorage(with_driver).run_storage.get_runs() == []  # the tables are there: nobody waits
        watching.execute("drop table event_logs")  # as of a host that was killed before it had made all
        assert not InstanceStorage(with_driver).event_log_storage.has_asset_key(AssetKey("any"))
        assert watching.execute("select to_regclass('event_logs')").fetchone() != (None,)
    with administrator.committing() as connection:
        connection.execute(f"drop database {NAME} with (force)".encode())
