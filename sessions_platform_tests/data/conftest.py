"""Where the recorded data is, and the home that ingests it."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.storage.postgres.embedded import attach

PROJECT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of the recorded data sets, which are no part of this project."""
    folder = Path(os.environ.get("SESSIONS_TEST_DATA") or PROJECT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"there is no recorded data in {folder}: SESSIONS_TEST_DATA names its folder")
    return folder


@pytest.fixture(scope="session")
def expected(data: Path) -> dict[str, Any]:
    """What an independent loop over the sorted rows found in each file."""
    return json.loads((data / "expected.json").read_text())


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home, with its server, for all cases; in memory if there is enough."""
    roomy = MEMORY.exists() and shutil.disk_usage(MEMORY).free > 4 * 2**30
    with tempfile.TemporaryDirectory(prefix="open-", dir=MEMORY if roomy else "/tmp") as name:
        home = Path(name)
        home.chmod(0o755)  # the server's user has to enter
        server = attach(home)
        yield home
        server.close()
