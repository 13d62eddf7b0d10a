"""An interrupt ends a step and its run, where Dagster alone would answer it by the retry policy."""

import signal
import threading
from collections.abc import Callable

import dagster as dg
import pytest

from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.instance_storage import InstanceStorage
from sessions_platform.orchestration.interrupts import failed_when_interrupted
from sessions_platform.storage.postgres.database import Database, lock
from sessions_platform_tests.orchestration.dev_process import eventually

HURRIED = dg.RetryPolicy(max_retries=TRANSIENT.max_retries)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def run_of(instance: dg.DagsterInstance, body: Callable[[dg.OpExecutionContext], None]) -> list[str]:
    """The types of the events of a step that is retried at once."""

    @dg.op(retry_policy=HURRIED)
    def step(context: dg.OpExecutionContext) -> None:
        body(context)

    @dg.job
    def job() -> None:
        step()

    result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    return [event.event_type_value for event in result.all_events if event.step_key == "step"]


@pytest.mark.parametrize("guard", [retried_when_transient, failed_when_interrupted])
def test_an_interrupted_step_is_not_retried(guard: Callable, instance: dg.DagsterInstance) -> None:
    def body(_: dg.OpExecutionContext) -> None:
        with guard():
            interrupt()

    events = run_of(instance, body)
    assert "STEP_UP_FOR_RETRY" not in events
    assert events[-1] == "STEP_FAILURE"


def test_a_run_that_was_ended_before_dagsters_retry_does_not_go_on(instance: dg.DagsterInstance) -> None:
    attempts = []

    def body(context: dg.OpExecutionContext) -> None:
        attempts.append(context.retry_number)
        if context.retry_number == 0:  # an interrupt that no code of ours could answer
            instance.report_run_canceling(context.run)
            interrupt()
        with retried_when_transient():
            attempts.append("worked")

    run_of(instance, body)
    assert attempts == [0, 1]
    assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.CANCELED]


def test_no_wait_between_attempts_is_longer_than_sixteen_seconds() -> None:
    waits = [TRANSIENT.calculate_delay(attempt) for attempt in range(1, TRANSIENT.max_retries + 1)]
    assert max(waits) <= 16


def test_an_interrupted_transaction_cancels_the_servers_statement(database: Database) -> None:
    with database.transaction() as holder:
        lock(holder, "an interrupted transaction")
        with pytest.raises(dg.DagsterExecutionInterruptedError):
            _wait_for_lock(database, threading.Thread(target=_interrupt_the_wait, args=(database,)))
        eventually(lambda: not _is_waited_for(database), "the server has not canceled the statement", seconds=10)


def _interrupt_the_wait(database: Database) -> None:
    eventually(lambda: _is_waited_for(database), "nobody waits for the lock")
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def _wait_for_lock(database: Database, interrupter: threading.Thread) -> None:
    """Wait for a lock that is held, with Dagster's own handler of the interrupt."""

    def handler(*_: object) -> None:
        raise dg.DagsterExecutionInterruptedError

    previous = signal.signal(signal.SIGINT, handler)
    try:
        with database.transaction() as connection:
            interrupter.start()
            lock(connection, "an interrupted transaction")
    finally:
        signal.signal(signal.SIGINT, previous)
        interrupter.join()


def _is_waited_for(database: Database) -> bool:
    return bool(database.query("select pid from pg_locks where locktype = 'advisory' and not granted"))


@pytest.mark.slow
@pytest.mark.usefixtures("home")
def test_a_run_that_was_canceled_stays_canceled() -> None:
    storage = InstanceStorage.from_config_value(None, {}).run_storage
    run = dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.STARTED)
    storage.add_run(run)
    for event, status in [("PIPELINE_CANCELED", "CANCELED"), ("PIPELINE_FAILURE", "CANCELED")]:
        storage.handle_run_event(run.run_id, dg.DagsterEvent(event_type_value=event, job_name="any"))
        (stored,) = storage.get_runs(dg.RunsFilter(run_ids=[run.run_id]))
        assert stored.status.value == status
