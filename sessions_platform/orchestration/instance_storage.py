"""Dagster's own storage of runs, events, schedules and sensors, which dagster.yaml names.

Here belong where it is, and what differs from Dagster's own: a canceled run stays canceled, and a run of the command
line belongs to the code location. Not here: the platform's own ledger and tables (`storage`).
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.remote_origin import (  # noqa: TID251  Dagster exports them nowhere else
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster_postgres import DagsterPostgresStorage, PostgresRunStorage
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from sessions_platform.settings import Settings, logs_are_json

# As Dagster names them for `sessions-platform dev` and for workspace.yaml.
LOCATION, REPOSITORY = "sessions_platform.definitions", "__repository__"
# The tables of Dagster's three storages that it makes first, and the one that it makes last.
_HAS_TABLES = text("""
select bool_and(to_regclass(name) is not null)
from unnest(array['runs', 'instance_info', 'event_logs', 'jobs', 'job_ticks']) as name""")
_LOCK = text("select pg_advisory_xact_lock(hashtextextended('sessions_platform/dagster', 0))")
_NOT_RESTARTED = {"dagster/max_retries": "0"}


class _RunStorage(PostgresRunStorage):
    """Dagster's storage of runs, where a canceled run stays canceled, and every run belongs to the code location.

    A run that is marked as canceled while its worker still lives would become failed, or even successful, by the
    worker's last event.
    """

    def add_run(self, dagster_run: dg.DagsterRun) -> dg.DagsterRun:
        """Store a new run; one that Python started is said to be of the platform's code location.

        Dagster gives such a run no location, and its UI leaves runs without one out of the timeline and out of the
        pages of their jobs. A run with one would be started again by the daemon after a crash: what the command line
        started, only the command line starts again.
        """
        if dagster_run.remote_job_origin is None:
            repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(LOCATION), REPOSITORY)
            origin = RemoteJobOrigin(repository, dagster_run.job_name)
            dagster_run = dagster_run.with_job_origin(origin).with_tags({**_NOT_RESTARTED, **dagster_run.tags})
        return super().add_run(_with_json_lines(dagster_run))

    def handle_run_event(self, run_id: str, event: dg.DagsterEvent, update_timestamp: datetime | None = None) -> None:
        """Change a run's status as the event says, unless the run was canceled before."""
        canceled = dg.RunsFilter(run_ids=[run_id], statuses=[dg.DagsterRunStatus.CANCELED])
        if not self.get_runs(canceled):
            super().handle_run_event(run_id, event, update_timestamp)


def _with_json_lines(run: dg.DagsterRun) -> dg.DagsterRun:
    """With `SESSIONS_LOG=json`, a run of the platform that names no logger has the one that writes JSON lines.

    Dagster knows no default of it: a run of assets that are chosen in the UI would write text.
    """
    origin = run.remote_job_origin
    is_ours = origin is not None and origin.location_name == LOCATION
    if not (is_ours and logs_are_json(os.environ)) or "loggers" in run.run_config:
        return run
    return run._replace(run_config={**run.run_config, "loggers": {"json": {}}})


@contextmanager
def _making_tables_alone(postgres_url: str) -> Iterator[bool]:
    """Whether tables are missing; then no other process makes them meanwhile: Dagster fails if several hosts do.

    A database that can't be reached is left to Dagster, which tries it again and says why.
    """
    engine = create_engine(postgres_url, poolclass=NullPool)
    with ExitStack() as stack:
        are_missing = True
        with suppress(OperationalError):
            connection = stack.enter_context(engine.begin())
            are_missing = not connection.scalar(_HAS_TABLES)
            if are_missing:
                connection.execute(_LOCK)
        yield are_missing


def _embedded_url(home: Path) -> str:
    """Imported here, because it brings psycopg, which Dagster's own processes need for nothing else."""
    from sessions_platform.storage.postgres import embedded
    from sessions_platform.storage.postgres.roles import OWNER

    return embedded.attach(home).url("dagster", OWNER)


class InstanceStorage(DagsterPostgresStorage):
    """PostgreSQL: the server that DAGSTER_POSTGRES_URL names, else the embedded one.

    It has no configuration, because a missing variable would fail every command, and because configured values are
    visible in the UI and in the command lines of Dagster's processes.
    """

    def __init__(self, postgres_url: str, inst_data: Any = None) -> None:
        with _making_tables_alone(postgres_url) as are_missing:
            # Dagster looks for its tables thrice, by a connection each, in every process that starts.
            super().__init__(postgres_url, should_autocreate_tables=are_missing, inst_data=inst_data)
        self._run_storage = _RunStorage(postgres_url, should_autocreate_tables=False)  # the other one has made them

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """No configuration."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: Any,
        config_value: Mapping[str, Any],  # noqa: ARG003  Dagster's signature
    ) -> Self:
        """The storage, as the environment configures it."""
        settings = Settings.from_environment()
        url = settings.dagster_postgres_url or _embedded_url(settings.home)
        # dagster-postgres speaks psycopg2, and SQLAlchemy 2.1 takes a plain postgresql:// for psycopg 3.
        with_driver = make_url(url).set(drivername="postgresql+psycopg2")
        storage = cls(with_driver.render_as_string(hide_password=False), inst_data=inst_data)
        storage.keep_connections()
        return storage

    def keep_connections(self) -> None:
        """Keep a connection open, as Dagster's webserver does; by default each event of a run opens a new one."""
        for storage in (self.run_storage, self.event_log_storage, self.schedule_storage):
            storage.optimize_for_webserver(statement_timeout=60_000, pool_recycle=3600, max_overflow=20)
