"""The embedded server killed, and its disk full: a repeated command succeeds, or says what is wrong with the server."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sessions_platform.settings import Settings
from sessions_platform.storage.postgres import embedded
from sessions_platform.storage.postgres.database import Database, is_transient
from sessions_platform.storage.postgres.errors import in_a_sentence
from sessions_platform.storage.postgres.retries import retried
from sessions_platform.storage.postgres.roles import as_owner

pytestmark = pytest.mark.slow

DISK_MB = 160


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder that the server's user can enter."""
    with tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        embedded.attach(folder).close()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, without much room."""
    with tempfile.TemporaryDirectory(prefix="small-", dir="/tmp") as name:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", name], capture_output=True, check=False
        )
        if mounted.returncode != 0:
            pytest.skip("file systems can't be mounted here")
        folder = Path(name)
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            for pid in folder.rglob("postmaster.pid"):
                os.kill(int(pid.read_text().split()[0]), signal.SIGQUIT)
            subprocess.run(["umount", "-l", name], check=True)


def of(home: Path) -> Database:
    return Database(Settings(home=home, lake=home / "lake", streams=()))


def test_a_backend_that_was_killed_is_named_and_the_work_succeeds_when_repeated(home: Path) -> None:
    database, attempts = of(home), []

    def work() -> int:
        with database.transaction() as connection:
            pid = connection.info.backend_pid
            if not attempts:
                os.kill(pid, signal.SIGKILL)
            attempts.append(pid)
            row = connection.execute("select 7").fetchone()
            return row[0] if row else 0

    faults: list[Exception] = []
    assert retried(work, lambda error, _: faults.append(error)) == 7
    assert isinstance(faults[0], psycopg.OperationalError)
    assert f"(PID {attempts[0]}) was terminated by signal 9: Killed" in in_a_sentence(faults[0])


def test_a_server_that_was_killed_is_started_again_by_the_next_attempt(home: Path) -> None:
    database = of(home)
    assert database.query("select 1 as a") == [{"a": 1}]
    (pid,) = home.rglob("postmaster.pid")
    os.kill(int(pid.read_text().split()[0]), signal.SIGKILL)
    assert retried(lambda: database.query("select 2 as a")) == [{"a": 2}]


def fill(folder: Path) -> Path:
    """Leave no room on the folder's file system."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        file.write(bytes(max(0, shutil.disk_usage(folder).free - 1024 * 1024)))
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


@pytest.mark.parametrize("kind", ["temporary table", "table"])
def test_a_full_disk_is_named_and_the_work_succeeds_once_there_is_room(small_disk: Path, kind: str) -> None:
    """Rows of an ordinary table fill the log of transactions first, at which the server panics."""
    database = of(small_disk)
    with database.transaction() as connection:
        connection.execute("create temporary table warm (a int)")
    filler = fill(small_disk)
    with pytest.raises(psycopg.Error) as caught, database.transaction() as connection, as_owner(connection):
        connection.execute(f"create {kind} big as select repeat('x', 1000) from generate_series(1, 100000)".encode())
    told = in_a_sentence(caught.value)
    assert "No space left on device" in told
    assert "Fix: " in told
    filler.unlink()
    assert is_transient(caught.value) or "its disk is full" in told
    assert retried(lambda: database.query("select 3 as a")) == [{"a": 3}]


def test_a_command_on_a_full_disk_ends_in_a_sentence(small_disk: Path) -> None:
    filler = fill(small_disk)
    done = subprocess.run(
        [sys.executable, "-m", "sessions_platform", "sql", "select 1"],
        env={"PATH": os.defpath, "SESSIONS_HOME": str(small_disk)},
        capture_output=True,
        text=True,
        check=False,
    )
    filler.unlink()
    assert done.returncode in {1, 2}
    assert "No space left on device" in done.stderr
    assert "Fix: " in done.stderr
    assert "Traceback" not in done.stderr
