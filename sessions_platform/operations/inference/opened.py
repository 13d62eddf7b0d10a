"""Files of unknown kind, opened: what they are packed in, and what they begin with.

Here: packings, archives and formats that are recognized by their bytes. Not here: which text format the text is in
(`text_formats`), and rows (`sample`).
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.operations.given_files import real_path
from sessions_platform.operations.preview import source_of_file
from sessions_platform.sources.base import Slice
from sessions_platform.sources.files.content import SIGNATURE_BYTES, FileContent
from sessions_platform.sources.files.source import FileSource
from sessions_platform.sources.formats.compression import codec_of
from sessions_platform.sources.formats.errors import CorruptDataError

BEGINNING = 1 << 20
_BLOCK = 1 << 18
_PROBE: dict[str, Any] = {
    "name": "unknown",
    "start": "2000-01-01",
    "source": {"files": "*", "format": "ndjson", "archive": "**"},
    "columns": {"user_id": {}, "event_timestamp": {"formats": ["iso8601"]}, "event_type": {}},
}


@dataclass(frozen=True)
class OpenedFile:
    """A file or a member of an archive: what it is packed in, and its beginning.

    Attributes:
        file: the file that was named.
        member: the name in the archive; None where the file is none.
        packing: the compression's name; None where it has none.
        typed_format: parquet, arrow, orc or avro, where its bytes say so; then there is no text.
        text: the beginning of the decompressed text, without a byte order mark.
        is_whole: whether that is all of the text.
        encoding: utf-8 where the beginning is that, else cp1252.
    """

    file: Path
    member: str | None
    packing: str | None
    typed_format: str | None
    text: str
    is_whole: bool
    encoding: str
    source: FileSource
    slice_: Slice

    @contextmanager
    def handle(self) -> Iterator[io.FileIO]:
        """The open file."""
        with self.source.opened(self.slice_.uri) as handle:
            yield handle


def open_files(files: list[Path], scratch: Path, most: int) -> list[OpenedFile]:
    """The first of the files, and members of archives among them, opened; at most so many.

    Raises:
        UserError: a file can't be read, is empty, or is of a kind that no stream reads.
    """
    opened: list[OpenedFile] = []
    for file in files:
        source = source_of_file(Stream.model_validate(_PROBE), real_path(file), scratch, _BLOCK)
        slices = source.find()
        members = [each for each in slices if not each.fingerprint.endswith("-archive")]
        if not members:
            raise UserError(f"{file}: it is an archive without files. Fix: name another file.")
        is_archive = len(members) < len(slices)
        for slice_ in members[: most - len(opened)]:
            member = slice_.uri.partition("!/")[2] if is_archive else None
            opened.append(_opened(file, member, source, slice_))
        if len(opened) == most:
            break
    return opened


def _opened(file: Path, member: str | None, source: FileSource, slice_: Slice) -> OpenedFile:
    name = member or file.name
    with source.opened(slice_.uri) as handle:
        size = os.fstat(handle.fileno()).st_size
        start, end = os.pread(handle.fileno(), SIGNATURE_BYTES, 0), os.pread(handle.fileno(), 8, max(0, size - 8))
        codec = codec_of(start, name)
        typed = typed_format_of(start, end)
        text, is_whole = (b"", True) if typed else _beginning(file, handle, name)
    encoding = encoding_of(text)
    decoded = text.decode(encoding, "ignore" if encoding == "utf-8" else "replace")
    packing = codec.name if codec else None
    return OpenedFile(file, member, packing, typed, decoded, is_whole, encoding, source, slice_)


def typed_format_of(start: bytes, end: bytes) -> str | None:
    """The format with types that a file is in, by what it begins and ends with; None for any other."""
    if start.startswith(b"PAR1") and end.endswith(b"PAR1"):
        return "parquet"
    if start.startswith((b"ARROW1\0\0", b"\xff\xff\xff\xff")):
        return "arrow"
    if start.startswith(b"ORC") and b"ORC" in end:
        return "orc"
    return "avro" if start.startswith(b"Obj\x01") else None


def encoding_of(text: bytes) -> str:
    """UTF-8 where the text is that, but for a character that is cut off at its end; else Windows' Latin."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return "utf-8" if error.start >= len(text) - 3 and error.reason == "unexpected end of data" else "cp1252"
    return "utf-8"


def _beginning(file: Path, handle: io.FileIO, name: str) -> tuple[bytes, bool]:
    """The beginning of the text, and whether it is all of it."""
    content = FileContent(handle, _any_source(), _BLOCK, name)
    text, is_whole = b"", True
    try:
        for chunk in content.text():
            text += chunk
            if len(text) > BEGINNING:
                is_whole = False
                break
    except CorruptDataError as corrupt:
        if not text:
            raise UserError(f"{file}: {corrupt}. Fix: name a file that is whole.") from None
        is_whole = False
    if not text.strip():
        raise UserError(f"{file}: it is empty, so nothing can be told of it. Fix: name a file with events.")
    return text[:BEGINNING], is_whole and len(text) <= BEGINNING


def _any_source() -> FilesSource:
    return FilesSource.model_validate(_PROBE["source"])
