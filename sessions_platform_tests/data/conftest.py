"""Where the recorded data is, and the deployment that takes it in."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.storage.embedded_postgres import attach

PROJECT = Path(__file__).parents[2]


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


@pytest.fixture(scope="package")
def home(data: Path) -> Iterator[Path]:  # noqa: ARG001 (without data no server is started)
    """One home, with its server, for all cases. The server's own user has to be able to enter it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="sessions-data-", dir=memory if memory.is_dir() else "/tmp") as name:
        home = Path(name)
        home.chmod(0o755)
        yield home
        attach(home).close()
