"""How the bytes of a landing file become raw rows.

NDJSON and CSV are cut into lines and records without being understood: a payload is
the very bytes between two line ends. Compression is told by a file's first bytes,
not by its name. What cannot be read ends a file's rows with one that says why; only
an outage (a vanished file, a missing permission) is raised, as OSError.
"""

import hashlib
import io
import re
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import polars as pl
import zstandard

from sessions_platform.contracts.raw import RAW_EVENTS
from sessions_platform.contracts.stream import Source
from sessions_platform.sources.base import Unreadable
from sessions_platform.sources.parquet_rows import parquet_rows

BLOCK_BYTES = 8 * 1024 * 1024
BLOCK_ROWS = 32_768  # at most: short rows take far more room once they are objects

_Item = TypeVar("_Item")


class FileReading:
    """One pass over a landing file, in blocks of about `block_bytes` of text.

    Memory is bounded by the block, except where one line, or one CSV record whose
    quote is not closed, is longer.
    """

    def __init__(self, path: Path, source: Source, block_bytes: int = BLOCK_BYTES) -> None:
        self.digest = ""
        self._path = path
        self._source = source
        self._block_bytes = block_bytes

    def __iter__(self) -> Iterator[pl.DataFrame]:
        self._sha256 = hashlib.sha256()
        self._unreadable: str | None = None
        header: bytes | None = None
        awaits_header = self._source.format == "csv" and self._source.header is True
        position = 1
        with self._path.open("rb") as handle:
            for payloads in self._payloads(handle):
                if awaits_header and payloads:
                    awaits_header, header = False, payloads.pop(0)
                    self._refuse_open_header(header)
                for start in range(0, len(payloads), BLOCK_ROWS):
                    yield _block(position + start, payloads[start : start + BLOCK_ROWS], header)
                position += len(payloads)
        if self._unreadable is not None:
            yield _block(position, [b""], header, self._unreadable)
        self.digest = self._sha256.hexdigest()

    def _payloads(self, handle: io.BufferedReader) -> Iterator[list[bytes]]:
        if self._source.format == "parquet":
            return self._table_rows(handle)
        texts = _whole_lines(_without_bom(self._texts(handle), self._source.encoding))
        if self._source.format == "csv" and self._source.quote:
            return _records(texts, self._source.quote.encode(self._source.encoding))
        return map(_lines, texts)

    def _texts(self, handle: io.BufferedReader) -> Iterator[bytes]:
        """The file's text, decompressed, in pieces of about a block."""
        packing = next((packing for packing in _PACKINGS if packing.magic.match(handle.peek())), None)
        if packing is None:
            yield from self._pieces(handle, self._block_bytes)
        else:
            unpacked = _unpacked(self._pieces(handle, packing.piece_bytes), packing)
            yield from _gathered(self._readable(unpacked), self._block_bytes)
            self._hash_rest(handle)

    def _table_rows(self, handle: BinaryIO) -> Iterator[list[bytes]]:
        """Hashed before it is read: Parquet is not read from front to end."""
        self._hash_rest(handle)
        handle.seek(0)
        return self._readable(parquet_rows(handle, self._block_bytes, BLOCK_ROWS))

    def _hash_rest(self, handle: BinaryIO) -> None:
        for _ in self._pieces(handle, 1 << 20):
            pass

    def _pieces(self, handle: BinaryIO, size: int) -> Iterator[bytes]:
        while piece := handle.read(size):
            self._sha256.update(piece)
            yield piece

    def _readable(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """Pass on what can be read, and remember why the rest can't."""
        try:
            yield from items
        except Unreadable as broken:
            self._unreadable = str(broken)

    def _refuse_open_header(self, header: bytes) -> None:
        """Such a header has swallowed the file: its rows would be gone without a trace."""
        quote = self._source.quote
        if quote and header.count(quote.encode(self._source.encoding)) % 2:
            self._unreadable = "the quote that the header opens is never closed"


def _block(position: int, payloads: list[bytes], header: bytes | None, unreadable: str | None = None) -> pl.DataFrame:
    return pl.DataFrame({"payload": payloads}, schema={"payload": RAW_EVENTS["payload"]}).select(
        pl.int_range(position, position + pl.len(), dtype=pl.Int64).alias("position"),
        "payload",
        pl.lit(header, RAW_EVENTS["header"]).alias("header"),
        pl.lit(unreadable, RAW_EVENTS["unreadable"]).alias("unreadable"),
    )


@dataclass(frozen=True)
class _Packing:
    """A compression, by the bytes that its files begin with.

    What `piece_bytes` can unfold to bounds the memory that a bomb takes: 32 MiB at most.
    """

    name: str
    magic: re.Pattern[bytes]
    piece_bytes: int
    begin: Callable[[], Any]
    unpack: Callable[[Any, bytes], Iterable[bytes]]


def _inflated(member: Any, piece: bytes) -> Iterator[bytes]:
    """All that a piece holds: where it is broken, up to the broken byte, which raises zlib.error."""
    before = member.copy()
    try:
        yield member.decompress(piece)
    except zlib.error:
        for at in range(len(piece)):
            yield before.decompress(piece[at : at + 1])


_PACKINGS = (
    _Packing("gzip", re.compile(rb"\x1f\x8b"), 8192, lambda: zlib.decompressobj(wbits=31), _inflated),
    _Packing(
        "zstd",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        1024,
        lambda: zstandard.ZstdDecompressor().decompressobj(),
        lambda frame, piece: [frame.decompress(piece)],
    ),
)


def _unpacked(pieces: Iterable[bytes], packing: _Packing) -> Iterator[bytes]:
    """The text of all members or frames. Zeros may pad the file after each of them."""
    member = None
    for piece in pieces:
        rest = piece
        while rest := rest if member else rest.lstrip(b"\0"):
            member = member or packing.begin()
            try:
                yield from packing.unpack(member, rest)
            except (zlib.error, zstandard.ZstdError) as error:
                raise Unreadable(f"the rest of the file is no {packing.name} data: {error}") from None
            rest, member = (member.unused_data, None) if member.eof else (b"", member)
    if member:
        raise Unreadable(f"the file ends in the middle of its {packing.name} data")


def _gathered(texts: Iterable[bytes], size: int) -> Iterator[bytes]:
    held: list[bytes] = []
    length = 0
    for text in texts:
        held.append(text)
        length += len(text)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    yield b"".join(held)


def _without_bom(texts: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    rest = iter(texts)
    start = b""
    while len(start) < len(BOM_UTF8) and (text := next(rest, None)) is not None:
        start += text
    yield start.removeprefix(BOM_UTF8) if encoding == "utf-8" else start
    yield from rest


def _whole_lines(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The same text, cut only after a newline; what follows the last one comes last."""
    begun: list[bytes] = []
    for text in texts:
        end = text.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, text[:end]])
            begun = []
        begun.append(text[end:])
    if rest := b"".join(begun):
        yield rest


def _lines(text: bytes) -> list[bytes]:
    lines = (text.replace(b"\r\n", b"\n") if b"\r" in text else text).split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _records(texts: Iterable[bytes], quote: bytes) -> Iterator[list[bytes]]:
    """A record ends with the line on which its quotes are even; one that never does holds the file's rest."""
    opened: list[bytes] = []
    for text in texts:
        if not opened and quote not in text:
            yield _lines(text)
            continue
        records = []
        for line in io.BytesIO(text):
            opened.append(line)
            if line.count(quote) % 2 == (len(opened) > 1):  # odd where it closes, even where it stands alone
                records.append(_without_end(b"".join(opened)))
                opened = []
        yield records
    if opened:
        yield [b"".join(opened)]


def _without_end(line: bytes) -> bytes:
    return line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")
