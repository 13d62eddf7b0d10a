"""Runs that are terminated, time out or lose their process, through a real `sessions-platform dev`, by GraphQL."""

import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from sessions_platform.settings import Settings
from sessions_platform_tests.orchestration import conftest
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.dev_process import Dev, served

pytestmark = pytest.mark.slow

DAY = "2026-01-02"

Command = subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def dev(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """One for all tests; a server of its own would take longer than the tests themselves."""
    folder = tmp_path_factory.mktemp("dev")
    (folder / "streams").mkdir()
    name = f"dev{next(conftest._numbers)}"
    own = Settings(settings.home, settings.lake, streams=(folder / "streams",))
    home = Home(own, folder, name)
    home.write_stream()
    with served(home, folder / "dev.log") as running:
        yield running


@pytest.fixture
def stream(dev: Dev) -> list[dict]:
    """The table of sessions with a day loaded, and a landing file that is not."""
    with dev.database.transaction() as connection:
        known = connection.execute("select to_regclass(%s)", [f"{dev.home.name}.sessions"]).fetchone()
    if known == (None,):
        dev.home.ingest(2, "a", ("ann", 0, "a"))
        assert dev.ended(dev.launch("materialize_all", DAY)) == "SUCCESS"
    number = len(list((dev.home.folder / "streams/landing" / DAY).iterdir()))
    dev.home.ingest(2, f"new{number}", (f"bob{number}", 5, f"b{number}"))
    return dev.home.table()


def test_a_run_that_is_terminated_ends_canceled_and_leaves_the_old_state(dev: Dev, stream: list[dict]) -> None:
    with dev.held():
        run = dev.launch("materialize_all", DAY)
        dev.wait_for_waiting(1)
        assert dev.terminate(run) == "TerminateRunSuccess"
        assert dev.ended(run) == "CANCELED"
        dev.worker_exited(run)
        dev.wait_for_waiting(0)  # the server's statement is canceled too, though the lock is still held
    assert dev.status(run) == "CANCELED"
    assert dev.home.table() == stream
    assert dev.ended(dev.launch("materialize_all", DAY)) == "SUCCESS"
    assert len(dev.home.table()) == len(stream) + 1


def test_a_run_that_is_marked_as_canceled_stays_so_and_its_worker_stops(dev: Dev, stream: list[dict]) -> None:
    with dev.held():
        run = dev.launch("materialize_all", DAY)
        dev.wait_for_waiting(1)
        assert dev.terminate(run, "MARK_AS_CANCELED_IMMEDIATELY") == "TerminateRunSuccess"
        assert dev.status(run) == "CANCELED"
        dev.worker_exited(run)
        dev.wait_for_waiting(0)
    assert dev.status(run) == "CANCELED"
    assert dev.home.table() == stream


def test_a_run_that_reaches_its_time_limit_fails_once(dev: Dev, stream: list[dict]) -> None:
    with dev.held():
        before = dev.runs().keys()
        run = dev.launch("materialize_all", DAY, **{"dagster/max_runtime": "1"})
        dev.wait_for_waiting(1)
        assert dev.ended(run) in ("FAILURE", "CANCELED")
        dev.worker_exited(run)
        dev.wait_for_waiting(0)
    assert dev.status(run) != "SUCCESS"
    assert dev.tags(run).get("dagster/will_retry", "false") == "false"
    assert dev.runs().keys() - before == {run}
    assert dev.home.table() == stream


@pytest.mark.usefixtures("stream")
def test_killed_runs_of_the_command_line_do_not_keep_the_daemon_from_its_work(dev: Dev) -> None:
    before = dev.runs().keys()
    file = str(next((dev.home.folder / "streams/landing" / DAY).iterdir()))
    with dev.held():
        commands = [dev.command("ingest", dev.home.name, file, "--partition", DAY) for _ in range(4)]
        dev.wait_for_waiting(4)
        killed = dev.runs().keys() - before
        for command in commands:
            command.kill()
            command.communicate()
    assert len(killed) == 4
    run = dev.launch("materialize_all", DAY)
    assert dev.ended(run) == "SUCCESS"
    assert {dev.ended(lost) for lost in killed} == {"FAILURE"}
    reason = next(message for message in dev.messages(killed.pop()) if "which executed this run" in message)
    assert "has ended. What it had committed stays" in reason


def by_terminate(dev: Dev, run: str, _command: Command) -> None:
    assert dev.terminate(run) == "TerminateRunFailure"  # Dagster can't reach it; its next heartbeat sees it


def by_ctrl_c(_dev: Dev, _run: str, command: Command) -> None:
    command.send_signal(signal.SIGINT)


@pytest.mark.parametrize(("interrupt", "status"), [(by_terminate, "CANCELED"), (by_ctrl_c, "FAILURE")])
def test_a_run_of_the_command_line_can_be_interrupted_too(
    dev: Dev, stream: list[dict], interrupt: Callable[[Dev, str, Command], None], status: str
) -> None:
    before = dev.runs().keys()
    file = str(next((dev.home.folder / "streams/landing" / DAY).iterdir()))
    with dev.held():
        command = dev.command("ingest", dev.home.name, file, "--partition", DAY)
        dev.wait_for_waiting(1)
        (run,) = dev.runs().keys() - before
        interrupt(dev, run, command)
        assert dev.ended(run) == status
        _, said = command.communicate()
        dev.wait_for_waiting(0)
    assert command.returncode == 130
    assert b"The run was interrupted" in said
    assert b"The step was interrupted." in said
    assert b"Traceback" not in said
    assert dev.home.table() == stream
