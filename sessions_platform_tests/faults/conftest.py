"""Trials on the server that all tests share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessions_platform.settings import Settings
from sessions_platform.storage.postgres import embedded
from sessions_platform_tests.faults.report import scenario
from sessions_platform_tests.faults.trial import Trials

__all__ = ["own_server", "scenario", "trials"]


@pytest.fixture(scope="session")
def trials(settings: Settings) -> Iterator[Trials]:
    with tempfile.TemporaryDirectory(prefix="faults-", dir=settings.home.parent) as folder:
        Path(folder).chmod(0o755)  # the server's user has to enter for tablespaces
        yield Trials(Path(folder), settings)


@pytest.fixture(scope="module")
def own_server() -> Iterator[Trials]:
    """Trials on a server of their own, which may be killed."""
    with tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        home = folder / "server"
        server = embedded.attach(home)
        yield Trials(folder, Settings(home=home, lake=home / "lake", streams=()))
        server.close()
