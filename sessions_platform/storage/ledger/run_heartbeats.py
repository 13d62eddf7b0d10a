"""The ledger's heartbeats: which process executes a run of Dagster, and when it was last alive.

Here: their rows, which belong to no stream. Not here: who writes and reads them, and what becomes of a run whose
process is gone (`orchestration/heartbeats.py`); how a process is told from another (`storage/processes.py`).
"""

from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg.rows import dict_row

from sessions_platform.errors import UserError
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.postgres.migrations import ensure_current
from sessions_platform.storage.processes import Process

BEAT_SECONDS = 5
STALE_SECONDS = 45  # several beats, so that a slow machine or a short outage ends no run

_BEGIN = """
insert into sessions_platform.run_heartbeats (run_id, host, boot, pid, process_started)
values (%(run_id)s, %(host)s, %(boot)s, %(pid)s, %(started)s)
on conflict (run_id) do update set host = excluded.host, boot = excluded.boot, pid = excluded.pid,
    process_started = excluded.process_started, beat_at = now()
where run_heartbeats.ended_at is null"""
_FORGET_OLD = "delete from sessions_platform.run_heartbeats where beat_at < now() - interval '7 days'"
_BEAT = """
update sessions_platform.run_heartbeats set beat_at = now() where run_id = %s and ended_at is null returning run_id"""
_END = """
update sessions_platform.run_heartbeats set ended_at = coalesce(ended_at, now())
where run_id = %s and beat_at = %s returning run_id"""
_ENDED = "select from sessions_platform.run_heartbeats where run_id = %s and ended_at is not null"
_KEEP = "select from sessions_platform.run_heartbeats where run_id = %s for share"
_FORGET = "delete from sessions_platform.run_heartbeats where run_id = %s and ended_at is null"
_FORGET_PROCESS = """
delete from sessions_platform.run_heartbeats where run_id = %(run_id)s and ended_at is null
    and (host, boot, pid, process_started) = (%(host)s, %(boot)s, %(pid)s, %(started)s)"""
_SELECT = """
select run_id, host, boot, pid, process_started, beat_at, beat_at < now() - make_interval(secs => %s) as is_stale,
    ended_at is not null as is_ended
from sessions_platform.run_heartbeats order by began_at, run_id"""


class RunEndedError(UserError):
    """The run was found lost and ended, so that others do its work."""


class Heartbeat(NamedTuple):
    """A run, the process that executes it, and when that was last alive by the database's clock.

    `is_ended` is whether somebody has found it lost: it can't publish any more, be its process alive or not.
    """

    run_id: str
    process: Process
    beat_at: datetime
    is_stale: bool
    is_ended: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether the process is gone: seen here, or presumed of one elsewhere that has been silent for too long."""
        return self.is_ended or (self.process.is_gone if self.process.is_local else self.is_stale)

    @property
    def is_presumed_lost(self) -> bool:
        """Whether only silence says so: the database may have been away, so that no beat could reach it."""
        return self.is_stale and not self.is_ended and not self.process.is_local


def refuse_ended(connection: psycopg.Connection, run_id: str) -> None:
    """Refuse a run that was found lost. The stream's lock is held.

    A run that does the work of another one begins after that one's end. So whichever of the two takes the lock first,
    the lost run publishes before the other one or not at all.

    Raises:
        RunEndedError: it was found lost.
    """
    if connection.execute(_ENDED, [run_id]).fetchone() is not None:
        raise RunEndedError(
            f"run {run_id}: its process was not heard of, so it was ended, and publishes nothing. "
            "Fix: nothing; what it had not published is pending, and the next run does it."
        )


def keep_from_being_ended(connection: psycopg.Connection, run_id: str) -> None:
    """Let nobody end the run before the transaction ends, which has to be soon: beats wait for it, too.

    It is for what is written without the stream's lock, and `refuse_ended` follows it.
    """
    connection.execute(_KEEP, [run_id])


class RunHeartbeats:
    """The table `run_heartbeats`. Each method is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, run_id: str, process: Process) -> None:
        """Record that a process executes a run, in place of an earlier one. Rows of a week ago are deleted."""
        with self._database.transaction() as connection:
            ensure_current(connection)
            connection.execute(_BEGIN, {"run_id": run_id, **process._asdict()})
            connection.execute(_FORGET_OLD)

    def beat(self, run_id: str) -> bool:
        """Record that the run's process is alive; False where the row is gone, as the run was ended meanwhile."""
        with self._database.transaction() as connection:
            return connection.execute(_BEAT, [run_id]).fetchone() is not None

    def end(self, heartbeat: Heartbeat) -> bool:
        """Let the run publish nothing any more, for its process is lost; False where it has said since that it lives.

        The row stays for a week. It is what keeps a host that comes back from replacing what others did meanwhile.
        """
        with self._database.transaction() as connection:
            return connection.execute(_END, [heartbeat.run_id, heartbeat.beat_at]).fetchone() is not None

    def forget(self, run_id: str) -> None:
        """Delete the row of a run that has ended by itself."""
        with self._database.transaction() as connection:
            connection.execute(_FORGET, [run_id])

    def forget_process(self, run_id: str, process: Process) -> None:
        """Delete the row of a run if it still names this process, and not another one that executes the run, too."""
        with self._database.transaction() as connection:
            connection.execute(_FORGET_PROCESS, {"run_id": run_id, **process._asdict()})

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
                row["is_ended"],
            )
            for row in rows
        ]
