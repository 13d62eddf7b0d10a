"""A home that is big enough for a lot of small files."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessions_platform.settings import Settings
from sessions_platform.storage import embedded_postgres

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """A home of the module's own with a server; in memory if there is enough, for fsync is not what is tested."""
    roomy = MEMORY.exists() and shutil.disk_usage(MEMORY).free > 4 * 2**30
    with tempfile.TemporaryDirectory(prefix="open-", dir=MEMORY if roomy else "/tmp") as name:
        home = Path(name)
        home.chmod(0o755)  # the server's user has to enter
        server = embedded_postgres.attach(home)
        yield Settings(home=home, lake=home / "lake", streams=(home / "streams",))
        server.close()
