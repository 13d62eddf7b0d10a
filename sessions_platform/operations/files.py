"""The lake files that readers outside of the platform have to read: those with the current rows of an asset.

Superseded files, and files of runs in progress, lie in the same folders; the ledger says which are current. Not here:
how the files are read, which is in docs/reading-the-lake.md.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.lake.stored_file import checksum_in
from sessions_platform.storage.ledger.ledger import LakeFile

ASSETS = ("raw_events", "events", "rejected_events", "sessionized_events")


@dataclass(frozen=True)
class CurrentFile:
    """A Parquet file with current rows: its partition, where it is, and what it has.

    `path` is absolute; a URL where the lake is in an object store. `bytes` is its length; `checksum`, CRC-32 in hex, is
    that of its end, which contains the checksums of all of its parts; None for a file of an older version.
    """

    partition: str
    path: str
    rows: int
    bytes: int
    checksum: str | None

    @property
    def document(self) -> dict[str, Any]:
        """As it is printed."""
        return asdict(self)


def current_files(context: StreamContext, asset: str) -> list[CurrentFile]:
    """The files of an asset, by partition; together they have each current row once.

    Raises:
        UserError: the lake has no such asset, or one of its files is missing.
    """
    if asset not in ASSETS:
        hint = "sessions are rows of the warehouse: query it, or read sessionized_events" if asset == "sessions" else ""
        raise UserError(f"{asset!r} is no asset of the lake. Fix: name one of {', '.join(ASSETS)}. {hint}".rstrip())
    context.prepare()
    files = [file for file in context.ledger.lake_files() if file.asset == asset and file.is_loaded]
    listed = context.lake.filesystem.listed(f"{context.stream.name}/{asset}")
    sizes = {file.path: file.size for file in listed}  # in a store one listing costs less than a request for each
    return [_current_file(context, file, sizes) for file in files]


def _current_file(context: StreamContext, file: LakeFile, sizes: Mapping[str, int]) -> CurrentFile:
    where = context.lake.filesystem.url(file.path)
    size = sizes[file.path] if file.path in sizes else context.lake.size(file.path)
    return CurrentFile(file.partition, where, file.rows, size, checksum_in(file.path))
