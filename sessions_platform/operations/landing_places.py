"""Where a file goes that is put into a stream's landing folder: its landing partition and its name.

Here belongs what is decided before anything is copied, so that a command that can't place one of its files places none.
Not here: the copies (`landing_files.py`), and which names the stream finds (`sources`).
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sessions_platform.contracts.calendar import Calendar, newest_partition
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.sources.base import FileLanding
from sessions_platform.sources.formats.compression import codec_of, decompressed
from sessions_platform.sources.formats.errors import CorruptDataError

# Called with a file that can't be placed, and why; may raise the error.
Refused = Callable[[Path, UserError], None]

_CHUNK = 1 << 20
_SIGNATURE_BYTES = 512
SHOWN_DIGITS = 12
_MOST_UNPACKED = 1 << 40


@dataclass(frozen=True)
class Placement:
    """A file, the SHA-256 of its bytes (hex), and where among the landing files it belongs.

    `is_present` where its bytes, or its text in another packing, are there already.
    """

    file: Path
    digest: str
    path: Path
    landing_partition: str
    is_present: bool


def placements(
    context: StreamContext,
    landing: FileLanding,
    files: Sequence[Path],
    partition: str | None,
    refused: Refused | None = None,
) -> list[Placement]:
    """Where each of the files goes; nothing is written.

    A file keeps its name where the stream finds it by that, and no other content has the name: neither a file in the
    folder, nor one that has been ingested and is gone, since its rows would be replaced. Else a part of the digest is
    added to the name. A file whose bytes or text were ingested before stays where it is.

    Args:
        context: the stream's.
        landing: its source.
        files: in the stream's format.
        partition: the landing partition; by default the one that a file's name states, else the newest one.
        refused: called with a file that can't be placed and the reason; by default it is raised.

    Raises:
        UserError: there is no such landing partition, or the stream has not begun; a file can't be read, or the stream
            would find it under none of these names.
    """
    refused = refused or _raise
    newest = landing_partition(context, None)
    chosen = landing_partition(context, partition) if partition else None
    planned: dict[Path, str] = {}
    placed: list[Placement] = []
    for file in files:
        try:
            digests = _digests(file)
            key = chosen or _begun(file, landing.partition_of_name(file.name), newest) or newest
            present = _present(context, landing, file, digests)
            path = present or _free_path(context, landing, file, digests[0], key, planned)
        except UserError as error:
            refused(file, error)
            continue
        is_present = present is not None or path in planned or path.exists()
        planned[path] = digests[0]
        placed.append(Placement(file, digests[0], path, key, is_present))
    return placed


def _raise(_: Path, error: UserError) -> None:
    raise error


def _present(context: StreamContext, landing: FileLanding, file: Path, digests: Sequence[str]) -> Path | None:
    """The landing file with the same content: the file itself where it is one, or what was ingested before."""
    own = Path(os.path.normpath(file.absolute()))
    return own if landing.finds(own) else _ingested(context, landing, digests)


def _begun(file: Path, stated: str | None, newest: str) -> str | None:
    if stated and stated > newest:
        raise UserError(
            f"{file}: its name states the landing partition {stated}, which has not begun. Fix: ingest it then."
        )
    return stated


def _ingested(context: StreamContext, landing: FileLanding, digests: Sequence[str]) -> Path | None:
    """The landing file with the same bytes, or the same text, that was ingested before and is still there."""
    known = context.ledger.uris_by_digest(digests)
    paths = (landing.path_of(uri) for digest in digests for uri in known.get(digest, ()))
    return next((path for path in paths if path.exists()), None)


def _free_path(
    context: StreamContext, landing: FileLanding, file: Path, digest: str, key: str, planned: dict[Path, str]
) -> Path:
    """The first of a file's possible paths that no other content has."""
    fitting = list(_fitting(landing, file, digest, key))
    known = context.ledger.digests_of(landing.uri_of(path) for path in fitting)
    for path in fitting:
        others = {planned.get(path), known.get(landing.uri_of(path)), sha256(path) if path.is_file() else None}
        if others <= {None, digest}:
            return path
    raise UserError(
        f"{file}: {fitting[0]} has, or had, other content, which this would replace. Fix: give the file another name "
        "that source.files matches, or name another --partition; to replace the content, write the file there yourself."
    )


def _fitting(landing: FileLanding, file: Path, digest: str, key: str) -> Iterator[Path]:
    """The paths at which the stream would find the file: of its own name, and of one with a part of its digest."""
    own = file.name.lstrip(".")
    stem, dot, suffixes = own.partition(".")
    refused: list[UserError] = []
    for name in (own, f"{stem}-{digest[:SHOWN_DIGITS]}{dot}{suffixes}"):
        try:
            yield landing.landing_path(name, key)
        except UserError as error:
            refused.append(error)
    if len(refused) == 2:
        raise refused[0]


def is_named_by_digest(name: str, digest: str) -> bool:
    """Whether a landing file has a name by which `ingest` has placed this content."""
    return f"-{digest[:SHOWN_DIGITS]}" in name


def digest_of(landing: FileLanding, uri: str) -> str:
    """The SHA-256 of a slice's bytes, hex. Raises OSError where there is none."""
    with landing.opened(uri) as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256(path: Path) -> str:
    """The SHA-256 of a local file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digests(file: Path) -> list[str]:
    """The SHA-256 of a file's bytes and, where it is packed, of its text. Raises UserError where it can't be read."""
    try:
        _refuse_special(file)
        return [sha256(file), *_text_digest(file)]
    except OSError as error:
        raise UserError(f"{file}: it can't be read: {error.strerror}. Fix: name an existing file.") from None


def _text_digest(file: Path) -> Iterator[str]:
    """The SHA-256 of what a file unpacks to; nothing where it is not packed, or broken."""
    with file.open("rb") as content:
        codec = codec_of(content.read(_SIGNATURE_BYTES), file.name)
    if codec is None:
        return
    digest = hashlib.sha256()
    try:
        for chunk in decompressed(lambda size: _chunks(file, size), codec, _MOST_UNPACKED):
            digest.update(chunk)
    except CorruptDataError:
        return
    yield digest.hexdigest()


def _chunks(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as content:
        yield from iter(lambda: content.read(size), b"")


def _refuse_special(file: Path) -> None:
    """Raise UserError for what is no file: a pipe without a writer would be waited for, and none can be read twice."""
    mode = file.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UserError(f"{file}: it is a folder. Fix: name the files in it.")
    if not stat.S_ISREG(mode):
        raise UserError(f"{file}: it is a pipe or a device, no file. Fix: write its content to a file, and name that.")


def landing_partition(context: StreamContext, partition: str | None) -> str:
    """A landing partition that somebody names, else the newest one.

    Raises:
        UserError: there is no such one, or the stream has not begun.
    """
    calendar = context.stream.landing_calendar
    newest, first = newest_partition(calendar), calendar.first_key
    if newest < first:
        raise UserError(
            f"{context.stream.name}: its first landing partition, {first}, has not begun, and before it nothing is "
            "ingested. Fix: an earlier start (or landing.start) in the stream's file."
        )
    if partition is not None and not (_is_key(calendar, partition) and first <= partition <= newest):
        raise UserError(
            f"--partition: there is no landing partition {partition!r}. Fix: name one from {first} to {newest}."
        )
    return partition or newest


def partitions_of(calendar: Calendar, since: datetime, until: datetime) -> tuple[str, str]:
    """The first and the last landing partition that have any of a time; those that have not begun are left out.

    Raises:
        UserError: there are none.
    """
    first, newest = calendar.first_key, newest_partition(calendar)
    begin = max(calendar.key_of(since), first)
    end = min(calendar.key_of(until - timedelta(microseconds=1)), newest)
    if until <= since or begin > end:
        raise UserError(
            f"from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} there are no landing partitions. Fix: state a time "
            f"within {first} to {newest}."
        )
    return begin, end


def _is_key(calendar: Calendar, key: str) -> bool:
    try:
        return calendar.key_of(calendar.window(key).start) == key
    except ValueError:
        return False
