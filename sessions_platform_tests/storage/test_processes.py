"""A process is known by host, number and start time, so that one with a reused number is not taken for it."""

import os
import subprocess
import sys

import pytest

from sessions_platform.storage import processes
from sessions_platform.storage.processes import Process, this_process


@pytest.fixture(params=["/proc", "ps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path) -> str:
    """How start times are read: from /proc, or from `ps` where there is none."""
    if request.param == "ps":
        monkeypatch.setattr(processes, "_PROC", tmp_path)
    return request.param


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def process_of(child: subprocess.Popen[bytes]) -> Process:
    return this_process()._replace(pid=child.pid, started=processes._started(child.pid) or "")


@pytest.mark.usefixtures("way")
def test_a_process_that_runs_is_not_gone() -> None:
    assert this_process().started
    assert not this_process().is_gone


@pytest.mark.usefixtures("way")
def test_a_killed_process_is_gone() -> None:
    with sleeper() as child:
        process = process_of(child)
        assert not process.is_gone
        child.kill()
        child.wait()
        assert process.is_gone


def test_a_killed_process_that_its_parent_has_not_waited_for_is_gone() -> None:
    with sleeper() as child:
        process = process_of(child)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        os.kill(child.pid, 0)  # it still has its number
        assert process.is_gone


@pytest.mark.usefixtures("way")
def test_another_process_with_the_same_number_is_not_taken_for_it() -> None:
    earlier = this_process()._replace(started="Thu Jan 1 00:00:00 1970")
    assert earlier.is_gone


def test_a_process_whose_start_is_unknown_is_not_gone_while_its_number_is_used() -> None:
    assert not this_process()._replace(started="").is_gone


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"boot": "an earlier start of this machine"}])
def test_nothing_is_known_of_a_process_elsewhere(elsewhere: dict[str, str]) -> None:
    process = this_process()._replace(pid=2**22 + 1, **elsewhere)
    assert not process.is_local
    assert not process.is_gone
