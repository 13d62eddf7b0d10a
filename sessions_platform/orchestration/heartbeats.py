"""Heartbeats of runs: a run says in the ledger that its process is alive, and a run whose process is gone is ended.

Dagster itself notices only the death of a worker whose code server lives. Here belong the thread that beats, and the
end of lost runs, which commands, sensors and the daemon's monitoring (`launcher.py`) ask for. Not here: the rows
(`storage/ledger/run_heartbeats.py`), and what a step does with an interrupt (`interrupts.py`).
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import dagster as dg
import psycopg

from sessions_platform.errors import UserError
from sessions_platform.settings import Settings
from sessions_platform.storage.ledger.run_heartbeats import BEAT_SECONDS, Heartbeat, RunHeartbeats
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.processes import this_process

_logger = logging.getLogger(__name__)

# The status of a run whose work is no longer wanted, by whoever changed it.
ENDED_FROM_OUTSIDE = (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE)
_FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_UNFINISHED = [status for status in dg.DagsterRunStatus if status not in _FINISHED]
_LAUNCHED_TAG = ".dagster/grpc_info"
# Within it a process beats that could not while the database was away: the next beat, and the wait for a connection.
_CONFIRMING_SECONDS = BEAT_SECONDS + 10
_DATABASE_ERRORS = (psycopg.Error, UserError, OSError)


def record_process(run_id: str) -> None:
    """Record that this process executes a run. If the database can't be reached, the first beat tries it again."""
    try:
        _heartbeats().begin(run_id, this_process())
    except _DATABASE_ERRORS as error:
        _logger.debug("no heartbeat of run %s: %s", run_id, error)


@contextmanager
def beating(instance: dg.DagsterInstance | None, run: dg.DagsterRun | None, of_a_step: bool = False) -> Iterator[None]:
    """Beat for a run until the block ends; without a run, as in a sensor's tick, do nothing.

    The row stays when the block ends, because the run has not ended then. But where each step may be a process of its
    own (`of_a_step`), the row goes with the process that it names: that one ends, and the run goes on. A step that runs
    beside it records itself at its next beat.
    """
    if instance is None or run is None:
        yield
        return
    record_process(run.run_id)
    stopped = threading.Event()
    thread = threading.Thread(target=_beat, args=(instance, run.run_id, stopped), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(BEAT_SECONDS)
        if of_a_step:
            _forget_process(run.run_id)


def end_lost_runs(instance: dg.DagsterInstance, database: Database | None = None) -> list[str]:
    """Report each run whose process is gone as failed, or as canceled where that was asked for.

    Where only silence says that it is gone, the caller waits until a process that lives would have been heard of.

    Args:
        instance: where the runs are recorded; runs of other instances are left alone.
        database: the one with the ledger; by default as the environment says.

    Returns:
        The ids of the runs that were ended. A database that can't be reached hinders no caller.
    """
    heartbeats = RunHeartbeats(database) if database else _heartbeats()
    ended = []
    try:
        known = _unreported(instance, heartbeats.all())
        if any(_is_to_be_confirmed(instance, heartbeat) for heartbeat in known):
            wait_for_beats()
        for heartbeat in known:
            if _end_if_lost(instance, heartbeats, heartbeat):
                ended.append(heartbeat.run_id)
            run = instance.get_run_by_id(heartbeat.run_id)
            if run and run.is_finished:
                heartbeats.forget(heartbeat.run_id)
    except _DATABASE_ERRORS as error:
        _logger.debug("lost runs were not all looked for: %s", error)
    return ended


def heartbeat_of(run_id: str, database: Database) -> Heartbeat | None:
    """The heartbeat of one run; None where it has none, or the database can't be reached."""
    try:
        return next((known for known in RunHeartbeats(database).all() if known.run_id == run_id), None)
    except _DATABASE_ERRORS:
        return None


def lost_heartbeat(run_id: str, database: Database) -> Heartbeat | None:
    """The heartbeat of a run whose process is gone, which from now on publishes nothing; None of any other run."""
    heartbeat = heartbeat_of(run_id, database)
    if heartbeat is None or not heartbeat.is_lost:
        return None
    if heartbeat.is_presumed_lost:
        wait_for_beats()
    try:
        return heartbeat if RunHeartbeats(database).end(heartbeat) else None
    except _DATABASE_ERRORS:
        return None


def wait_for_beats() -> None:
    """Wait until processes that live have beaten again: after an outage of the database, all of them were silent.

    A row that was read before then can't be ended (`RunHeartbeats.end`), since it is another one now.
    """
    time.sleep(_CONFIRMING_SECONDS)


def reason(heartbeat: Heartbeat) -> str:
    """Why a run is ended, for people to read."""
    process = heartbeat.process
    gone = "has ended" if process.is_local else "has not been heard of since"
    return (
        f"Process {process.pid} on {process.host}, which executed this run, {gone}"
        f"{'' if process.is_local else f' {heartbeat.beat_at:%Y-%m-%d %H:%M:%S} UTC'}. "
        "What it had committed stays; the rest is pending again, and the next run does it."
    )


def _unreported(instance: dg.DagsterInstance, known: Sequence[Heartbeat]) -> list[Heartbeat]:
    """All but those of lost runs that are reported, whose rows stay for a week: one query tells them from others."""
    ended = [heartbeat.run_id for heartbeat in known if heartbeat.is_ended]
    unfinished = instance.get_runs(dg.RunsFilter(run_ids=ended, statuses=_UNFINISHED)) if ended else []
    to_report = {run.run_id for run in unfinished}
    return [heartbeat for heartbeat in known if not heartbeat.is_ended or heartbeat.run_id in to_report]


def _is_to_be_confirmed(instance: dg.DagsterInstance, heartbeat: Heartbeat) -> bool:
    run = instance.get_run_by_id(heartbeat.run_id) if heartbeat.is_presumed_lost else None
    return run is not None and not run.is_finished


def _end_if_lost(instance: dg.DagsterInstance, heartbeats: RunHeartbeats, heartbeat: Heartbeat) -> bool:
    """End a lost run; whether it was one.

    The process is looked at before the run: what one that is gone did last, such as succeeding, is stored by then. That
    it may publish no more is recorded before others can begin with its work, which they do once it is reported.
    """
    if not heartbeat.is_lost:
        return False
    run = instance.get_run_by_id(heartbeat.run_id)
    if run is None or run.is_finished or not heartbeats.end(heartbeat):
        return False
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, reason(heartbeat))
    else:
        instance.report_run_failed(run, reason(heartbeat))
    return True


def _beat(instance: dg.DagsterInstance, run_id: str, stopped: threading.Event) -> None:
    """Beat until stopped; interrupt the work, once, when the run was ended from outside."""
    heartbeats, beats_ended = _heartbeats(), 0
    while not stopped.wait(BEAT_SECONDS):
        try:
            if not heartbeats.beat(run_id) and not stopped.is_set():
                heartbeats.begin(run_id, this_process())
            # nobody else can end a run that is kept in memory, and its storage is not for two threads
            run = None if instance.is_ephemeral else instance.get_run_by_id(run_id)
        except Exception as error:  # whatever the two databases raise; the next beat tries again
            _logger.debug("no heartbeat of run %s: %s", run_id, error)
            continue
        if run is None or run.status not in ENDED_FROM_OUTSIDE:
            continue
        beats_ended += 1
        if beats_ended == _patience(run) and not stopped.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _forget_process(run_id: str) -> None:
    try:
        _heartbeats().forget_process(run_id, this_process())
    except _DATABASE_ERRORS as error:
        _logger.debug("the heartbeat of run %s stays: %s", run_id, error)


def _patience(run: dg.DagsterRun) -> int:
    """At which beat after its end a run is interrupted; the code server has interrupted the worker that it started."""
    return 3 if _LAUNCHED_TAG in run.tags else 1


def _heartbeats() -> RunHeartbeats:
    return RunHeartbeats(Database(Settings.from_environment()))
