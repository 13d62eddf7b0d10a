"""The ledger's heartbeats: which process executes a run of Dagster, and when it was last alive.

Here: their rows, which belong to no stream. Not here: who writes and reads them, and what becomes of a run whose
process is gone (`orchestration/heartbeats.py`); how a process is told from another (`storage/processes.py`).
"""

from dataclasses import asdict, dataclass
from datetime import datetime

from psycopg.rows import dict_row

from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.postgres.migrations import ensure_current
from sessions_platform.storage.processes import Process

BEAT_SECONDS = 5
STALE_SECONDS = 45  # several beats, so that a slow machine or a short outage ends no run

_BEGIN = """
insert into sessions_platform.run_heartbeats (run_id, host, boot, pid, process_started)
values (%(run_id)s, %(host)s, %(boot)s, %(pid)s, %(started)s)
on conflict (run_id) do update set host = excluded.host, boot = excluded.boot, pid = excluded.pid,
    process_started = excluded.process_started, beat_at = now()"""
_FORGET_OLD = "delete from sessions_platform.run_heartbeats where beat_at < now() - interval '7 days'"
_BEAT = "update sessions_platform.run_heartbeats set beat_at = now() where run_id = %s returning run_id"
_FORGET = "delete from sessions_platform.run_heartbeats where run_id = %s"
_FORGET_PROCESS = """
delete from sessions_platform.run_heartbeats where run_id = %(run_id)s
    and (host, boot, pid, process_started) = (%(host)s, %(boot)s, %(pid)s, %(started)s)"""
_SELECT = """
select run_id, host, boot, pid, process_started, beat_at, beat_at < now() - make_interval(secs => %s) as is_stale
from sessions_platform.run_heartbeats order by began_at, run_id"""


@dataclass(frozen=True)
class Heartbeat:
    """A run, the process that executes it, and when that was last alive by the database's clock."""

    run_id: str
    process: Process
    beat_at: datetime
    is_stale: bool

    @property
    def is_lost(self) -> bool:
        """Whether the process is gone: seen here, or presumed of one elsewhere that has been silent for too long."""
        return self.process.is_gone if self.process.is_local else self.is_stale


class RunHeartbeats:
    """The table `run_heartbeats`. Each method is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, run_id: str, process: Process) -> None:
        """Record that a process executes a run, in place of an earlier one. Rows of a week ago are deleted."""
        with self._database.transaction() as connection:
            ensure_current(connection)
            connection.execute(_BEGIN, {"run_id": run_id, **asdict(process)})
            connection.execute(_FORGET_OLD)

    def beat(self, run_id: str) -> bool:
        """Record that the run's process is alive; False where the row is gone, as the run was ended meanwhile."""
        with self._database.transaction() as connection:
            return connection.execute(_BEAT, [run_id]).fetchone() is not None

    def forget(self, run_id: str) -> None:
        """Delete the row of a run that has ended."""
        with self._database.transaction() as connection:
            connection.execute(_FORGET, [run_id])

    def forget_process(self, run_id: str, process: Process) -> None:
        """Delete the row of a run if it still names this process, and not another one that executes the run, too."""
        with self._database.transaction() as connection:
            connection.execute(_FORGET_PROCESS, {"run_id": run_id, **asdict(process)})

    def all(self) -> list[Heartbeat]:
        """All rows, the earliest run first."""
        with self._database.transaction() as connection:
            ensure_current(connection)
            with connection.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(_SELECT, [STALE_SECONDS]).fetchall()
        return [
            Heartbeat(
                row["run_id"],
                Process(row["host"], row["boot"], row["pid"], row["process_started"]),
                row["beat_at"],
                row["is_stale"],
            )
            for row in rows
        ]
