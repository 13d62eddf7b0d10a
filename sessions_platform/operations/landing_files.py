"""Files that are put into a stream's landing folder from the command line.

Here belong the path that such a file gets and the landing partition that it belongs to. Not here: how files are found
and read (`sources`), and the runs that ingest them (`orchestration/commands.py`).
"""

import hashlib
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from sessions_platform.errors import UserError
from sessions_platform.operations.status import newest_partition
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import PRIVATE_FILE, make_private_folder
from sessions_platform.sources.base import FileLanding
from sessions_platform.sources.registry import file_landing


def place_files(context: StreamContext, files: Sequence[Path], partition: str | None) -> list[Path]:
    """Copy files into the landing folder of a stream.

    A file's name gets a part of its digest, so that none replaces another. Bytes that the stream has ingested before
    are not copied again.

    Args:
        context: the stream's.
        files: in the stream's format.
        partition: the landing partition; by default the newest one.

    Returns:
        The path of each file among the stream's landing files.

    Raises:
        UserError: there is no such landing partition, a file can't be read, or the stream does not read files.
    """
    landing = file_landing(context.source)
    if landing is None:
        raise UserError(f"{context.stream.name}: it does not read files. Fix: deliver the records to its source.")
    context.prepare()
    partition = _landing_partition(context, partition)
    placed = [_place(context, landing, file, partition) for file in files]
    undated = [file.uri for file in context.source.find() if file.landing_partition is None]
    context.ledger.assign([uri for uri in undated if landing.path_of(uri) in set(placed)], partition)
    return placed


def _place(context: StreamContext, landing: FileLanding, file: Path, partition: str) -> Path:
    digest = _digest(file)
    for known in context.ledger.files():
        if known.digest == digest and landing.path_of(known.uri).exists():
            return landing.path_of(known.uri)
    stem, dot, suffixes = file.name.lstrip(".").partition(".")
    path = landing.landing_path(f"{stem}-{digest[:12]}{dot}{suffixes}", partition)
    if not path.exists():
        make_private_folder(path.parent)
        unfinished = path.with_name(f".{uuid.uuid4().hex}.tmp")
        unfinished.touch(PRIVATE_FILE)
        shutil.copyfile(file, unfinished)
        unfinished.replace(path)
    return path


def _landing_partition(context: StreamContext, partition: str | None) -> str:
    calendar = context.stream.landing_calendar
    newest = newest_partition(calendar)
    if partition is None:
        return newest
    try:
        is_key = calendar.key_of(calendar.window(partition).start) == partition
    except ValueError:
        is_key = False
    first = calendar.first_key
    if not is_key or not first <= partition <= newest:
        raise UserError(
            f"--partition: there is no landing partition {partition!r}. Fix: name one from {first} to {newest}."
        )
    return partition


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{file}: it can't be read: {error.strerror}. Fix: name an existing file.") from None
