"""Lakes for tests: a file system in memory, a lake in a local folder, and where that folder is."""

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from sessions_platform.storage.lake.filesystem import LocalFilesystem
from sessions_platform.storage.lake.lake import Lake


class MemoryFilesystem:
    """Files as bytes by path, as an object store keeps them: there are no folders, and drafts are local files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self._written: dict[str, datetime] = {}

    @contextmanager
    def draft(self, folder: str) -> Iterator[Path]:  # noqa: ARG002
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch) / "draft.tmp"

    def put_if_absent(self, path: str, draft: Path) -> bool:
        content = draft.read_bytes()
        self._written.setdefault(path, datetime.now(UTC))
        return self.files.setdefault(path, content) is content

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(self.source(path))

    def read(self, path: str, offset: int, length: int) -> bytes:
        return self.source(path)[offset : offset + length]

    def size(self, path: str) -> int:
        return len(self.source(path))

    def state(self, path: str) -> int:
        return hash(self.source(path))

    def list(self, folder: str) -> Iterator[str]:
        yield from sorted(path for path in self.files if path.startswith(f"{folder}/"))

    def modified_at(self, path: str) -> datetime:
        return self._written[path]

    def drafts(self, folder: str, before: datetime) -> Sequence[str]:  # noqa: ARG002
        return []

    def delete(self, path: str) -> None:
        self.files.pop(path, None)

    def source(self, path: str) -> bytes:
        try:
            return self.files[path]
        except KeyError:
            raise FileNotFoundError(path) from None


def local_lake(folder: Path) -> Lake:
    return Lake(LocalFilesystem(folder), folder.with_name("scratch"))


def folder_of(lake: Lake) -> Path:
    """Where the files of a local lake are."""
    assert isinstance(lake.filesystem, LocalFilesystem)
    return lake.filesystem.root
