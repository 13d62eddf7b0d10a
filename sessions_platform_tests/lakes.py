"""Lakes for tests: an object store in memory, a lake in a local folder, and where that folder is."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sessions_platform.contracts.object_store import Objects
from sessions_platform.pipeline import context
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.filesystem import LocalFilesystem
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.lake.object_store import ObjectFilesystem

if TYPE_CHECKING:
    from obstore.store import MemoryStore, ObjectStore


class Counting:
    """A store that writes down what it is asked for."""

    def __init__(self, store: "MemoryStore") -> None:
        self._store, self.asked = store, list[str]()

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._store, name)


class Metered:
    """A store that adds up the bytes that it gives, and does something before an answer."""

    def __init__(self, store: "ObjectStore", before: Callable[[int], None] = lambda _: None) -> None:
        self._store, self._before, self.answers, self.given = store, before, 0, 0

    def get(self, path: str, **named: Any) -> Any:
        self._before(self.answers)
        self.answers += 1
        answer = self._store.get(path, **named)
        start, end = answer.range
        self.given += end - start
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def object_filesystem(scratch: Path) -> ObjectFilesystem:
    """An empty file system in a bucket that is in memory."""
    bucket = pytest.importorskip("obstore.store").MemoryStore()
    return ObjectFilesystem(Objects("s3", "bucket", "some/lake"), scratch, lambda _: bucket)


@pytest.fixture
def lakes_in_memory(monkeypatch: pytest.MonkeyPatch) -> "MemoryStore":
    """The bucket, in memory, of the lakes of all contexts that the test opens."""
    bucket = pytest.importorskip("obstore.store").MemoryStore()

    def opened(settings: Settings) -> ObjectFilesystem:
        return ObjectFilesystem(Objects("s3", "bucket", "lake"), settings.scratch, lambda _: bucket)

    monkeypatch.setattr(context, "open_filesystem", opened)
    return bucket


def local_lake(folder: Path) -> Lake:
    return Lake(LocalFilesystem(folder), folder.with_name("scratch"))


def folder_of(lake: Lake) -> Path:
    """Where the files of a local lake are."""
    assert isinstance(lake.filesystem, LocalFilesystem)
    return lake.filesystem.root
