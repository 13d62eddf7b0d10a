"""How a landing file begins: whether what was read of it is still there, once it has grown.

Which files may grow is said in `source`, and what follows from it in `pipeline.growth`.
"""

import hashlib
import io
import os
from collections.abc import Iterator, Sequence

from sessions_platform.contracts.sources import FilesSource

_OF_LINES = ("regex", "logfmt", "w3c", "query")
_CHUNK_BYTES = 1 << 20


def may_grow(source: FilesSource) -> bool:
    """Whether text that is appended to a file later may belong to another landing partition.

    It may where no path states its partition, and records are lines or groups of lines that are told apart by what
    precedes them alone; an object is always written as a whole.
    """
    is_line = source.format in _OF_LINES or (source.format == "ndjson" and source.events is None)
    is_csv = source.format == "csv" and source.line_end == "lf" and not source.escape
    return not source.dated and not source.objects and source.archive is None and (is_line or is_csv)


def digests_of_beginnings(handle: io.FileIO, sizes: Sequence[int]) -> Iterator[str | None]:
    """The SHA-256 (hex) of the first so many bytes of an open file, for rising sizes; None of more than it has."""
    descriptor = handle.fileno()
    at, size, sha256 = 0, os.fstat(descriptor).st_size, hashlib.sha256()
    for end in sizes:
        while at < min(end, size) and (chunk := os.pread(descriptor, min(_CHUNK_BYTES, end - at), at)):
            sha256.update(chunk)
            at += len(chunk)
        yield sha256.hexdigest() if at == end else None
