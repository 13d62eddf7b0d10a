"""The quarantined copies of landing files: which there have to be, and which are there.

Here: copies by the SHA-256 in their name. Not here: when a landing file is quarantined (`sources/files/reader.py`).
"""

import hashlib
from collections.abc import Iterator

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.operations.dead_letters import Filter, find_rejected_records
from sessions_platform.operations.landing_places import digest_of
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.raw_files import QUARANTINED_FILES
from sessions_platform.pipeline.tombstones import read_tombstones
from sessions_platform.sources.base import FileLanding
from sessions_platform.sources.registry import file_landing

# Their folder in homes of older versions.
_OLDER_FOLDER = "file_copies"
_NO_BYTES = hashlib.sha256().hexdigest()
_READ_BYTES = 1 << 20


def missing_copies(context: StreamContext) -> list[str]:
    """The paths of copies that rejected rows name, or that keep a landing file without rows, and that are not there.

    Copies that were erased because they named a user are left out, and files that had rows until these were erased.
    """
    tombstones, files = read_tombstones(context), context.ledger.files()
    if file_landing(context.source) is None:
        files = []  # slices of a server, which may have no rows, and no bytes that could be copied
    had_rows = {file.digest for file in files if file.redacted_digest or file.refused_rows}
    rows = find_rejected_records(context, Filter(code=Code.unreadable_file))
    named = {str(row["payload"]) for row in rows}
    present = {path.rpartition("/")[2] for path in _copies(context)}
    without_rows = {
        f"{context.stream.name}/{QUARANTINED_FILES}/{file.digest}"
        for file in files
        if file.rows == 0 and not file.is_replay and file.digest not in (_NO_BYTES, *had_rows)
    }
    missing = (path for path in named | without_rows if path.rpartition("/")[2] not in present)
    return sorted(path for path in missing if not tombstones.has_file(path.rpartition("/")[2]))


def damaged_copies(context: StreamContext) -> list[str]:
    """The paths of copies whose bytes are not those that their name promises; all of them are read."""
    return [path for path in _copies(context) if _digest(context, path) != path.rpartition("/")[2]]


def copy_again(context: StreamContext, path: str) -> str | None:
    """Copy a quarantined file again from a landing file with the same bytes; its uri, or None where there is none."""
    landing, digest = file_landing(context.source), path.rpartition("/")[2]
    if landing is None:
        return None
    for file in context.ledger.files():
        if file.digest == digest and _is_there(landing, file.uri, digest):
            context.lake.remove(path)
            context.lake.quarantine(path.rpartition("/")[0], _chunks(landing, file.uri))
            return file.uri
    return None


def _copies(context: StreamContext) -> Iterator[str]:
    for folder in (QUARANTINED_FILES, _OLDER_FOLDER):
        yield from context.lake.filesystem.list(f"{context.stream.name}/{folder}")


def _digest(context: StreamContext, path: str) -> str:
    context.lake.filesystem.forget(path)
    with context.lake.filesystem.open(path) as file:
        digest = hashlib.sha256()
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def _is_there(landing: FileLanding, uri: str, digest: str) -> bool:
    try:
        return digest_of(landing, uri) == digest
    except OSError:
        return False


def _chunks(landing: FileLanding, uri: str) -> Iterator[bytes]:
    with landing.opened(uri) as file:
        file.seek(0)
        while part := file.read(_READ_BYTES):
            yield part
