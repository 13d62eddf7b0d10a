"""A compiled scanner for each test that needs one; these tests are skipped where nothing can compile it."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessions_platform.errors import UserError
from sessions_platform.scanner import build, library
from sessions_platform.scanner.library import Scanner


@pytest.fixture(scope="session")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Scanner:
    file = tmp_path_factory.mktemp("scanner") / "scanner.so"
    try:
        build._compile(file)
    except UserError as error:
        pytest.skip(str(error))
    return Scanner(file)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The folder of an installation for which nothing was compiled."""
    monkeypatch.setattr(build, "FOLDER", tmp_path / "share")
    build.library_file.cache_clear()
    library._loaded.cache_clear()
    yield tmp_path / "share"
    build.library_file.cache_clear()
    library._loaded.cache_clear()


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ziglang" else find_spec(name))
