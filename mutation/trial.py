"""One mutant, planted in a copy of the checkout, and the result of its tests."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mutation.record import PYTEST, environment
from mutation.sites import Mutant

_MEMORY = Path("/dev/shm")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.*?)(?: - (.*))?$", re.M)
# In seconds. A test that takes longer, and ten times as long as without the mutant, is considered endless.
_LEAST_LIMIT = 60


@dataclass(frozen=True)
class Outcome:
    """`state` is killed, timed out, survived, or out of time if not all tests could be run in time."""

    state: str
    test: str = ""
    error: str = ""


def copy_checkout(root: Path, to: Path) -> Path:
    """Copy all files of the checkout that git does not ignore, with a link to its virtual environment."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, names.split("\0")):
        if (root / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    (to / ".venv").symlink_to(root / ".venv")
    return to


@contextmanager
def plant(mutant: Mutant, copy: Path) -> Iterator[None]:
    """Have the mutant in the copy while the block runs."""
    path = copy / mutant.path
    source = path.read_bytes()
    try:
        _replace(path, mutant.planted(source))
        yield
    finally:
        _replace(path, source)


def _replace(path: Path, source: bytes) -> None:
    """Write a module and remove its bytecode: Python ignores a change within a second that keeps the size."""
    path.write_bytes(source)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def run_tests(copy: Path, tests: Sequence[str], longest: float, seconds: float) -> Outcome:
    """Run tests in this order until one fails; `longest` is what the longest of them takes without a mutant."""
    limit = max(_LEAST_LIMIT, 10 * longest)
    options = ["-x", f"-ofaulthandler_timeout={limit}", "-ofaulthandler_exit_on_timeout=true"]
    try:
        code, printed = _pytest(copy, [*options, *tests], seconds)
        if "ERROR: not found: " in printed:  # the mutant has changed the names of a test's cases
            whole = dict.fromkeys(test.partition("[")[0] for test in tests)
            code, printed = _pytest(copy, [*options, *whole], seconds)
    except subprocess.TimeoutExpired:
        return Outcome("out of time")
    if code == 0:
        return Outcome("survived")
    if re.search(r"^Timeout \(", printed, re.M):
        return Outcome("timed out", next(iter(re.findall(r'File ".*/(test_\w+\.py)"', printed)), ""))
    test, error = next(iter(_FAILED.findall(printed)), ("the import of the package", printed.strip()[-300:]))
    return Outcome("killed", test, error[:300])


def failing(copy: Path, tests: Sequence[str]) -> list[str]:
    """Those of these tests that fail in the copy as it is."""
    return [test for test, _ in _FAILED.findall(_pytest(copy, tests, None)[1])] if tests else []


def _pytest(copy: Path, arguments: Sequence[str], seconds: float | None) -> tuple[int, str]:
    with _temporary() as folder, (folder / "output").open("w") as output:
        child = subprocess.Popen(
            [*PYTEST, "--tb=line", "--hypothesis-seed=0", f"--basetemp={folder / 'tests'}", *arguments],
            cwd=copy,
            env={**environment(copy), "SESSIONS_TEST_HOMES": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = child.wait(seconds)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        return code, (folder / "output").read_text(errors="replace")


@contextmanager
def _temporary() -> Iterator[Path]:
    """A folder for all that tests make; servers and other processes that they leave behind end with it."""
    with tempfile.TemporaryDirectory(prefix="m-", dir=_MEMORY if _MEMORY.exists() else None) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server's user has to enter
        try:
            yield folder
        finally:
            for pid in folder.rglob("postmaster.pid"):
                with suppress(ProcessLookupError, ValueError):
                    os.kill(int(pid.read_text().split()[0]), signal.SIGQUIT)
            _kill_all_of(folder)


def _kill_all_of(folder: Path) -> None:
    """Kill the processes that have the folder in their environment; a test that was killed can't end what it began."""
    for environment_of in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if bytes(folder) in environment_of.read_bytes():
                os.kill(int(environment_of.parent.name), signal.SIGKILL)
