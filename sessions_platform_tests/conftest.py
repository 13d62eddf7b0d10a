"""What all tests share: the settings of hypothesis, and one real PostgreSQL."""

import dataclasses
import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from sessions_platform.allocator import configure_allocator
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres import embedded
from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.faults.report import pytest_terminal_summary

__all__ = ["database", "pytest_terminal_summary", "settings"]

# Before any test imports polars; nothing that is imported above does.
configure_allocator()

# For the many small queries of tests: where two threads wait for their reads, a quarter of the processor's time is
# spent on waking them.
os.environ.setdefault("POLARS_ASYNC_THREAD_COUNT", "1")

# A busy machine is slow at times; that is not a failure. The examples are others each time; for many at once:
# pytest --hypothesis-profile=many.
hypothesis.settings.register_profile("house", deadline=None, max_examples=50)
hypothesis.settings.register_profile("many", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("house")

_MEMORY = Path("/dev/shm")


def pytest_collection_finish() -> None:
    """Let no search for garbage look at what was imported and collected: that was an eighth of the tests' time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """A home with a real PostgreSQL, one for all tests, each of which takes names of its own for streams and tables.

    In memory if there is enough, for most of a test's time goes into fsync; or in the folder SESSIONS_TEST_HOMES.
    """
    roomy = _MEMORY.exists() and shutil.disk_usage(_MEMORY).free > 2**30
    folder = os.environ.get("SESSIONS_TEST_HOMES") or (_MEMORY if roomy else "/tmp")
    with tempfile.TemporaryDirectory(prefix="open-", dir=folder) as name:
        home = Path(name)
        home.chmod(0o755)  # the server's user has to enter
        server = embedded.attach(home)
        yield Settings(home=home, lake=home / "lake", streams=())
        server.close()
        for pid in home.rglob("postmaster.pid"):  # should another process still hold it
            os.kill(int(pid.read_text().split()[0]), signal.SIGQUIT)


@pytest.fixture(scope="session")
def database(settings: Settings) -> Database:
    return Database(settings)


@pytest.fixture(scope="session")
def administrator(settings: Settings) -> Database:
    """The same database as its superuser, for what somebody else does there; the platform's own roles may not."""
    return Database(dataclasses.replace(settings, warehouse_url=embedded.attach(settings.home).url()))
