"""How the bytes of a landing file become raw rows.

NDJSON and CSV are cut into lines and records without being understood: a payload is
the very bytes between two line ends. Compression is told by a file's first bytes,
not by its name. What cannot be read ends a file's rows with one that says why, and
where a copy of the file is. A file without rows is copied too. Only an outage (a vanished file, a missing permission)
is raised, as OSError.
"""

import hashlib
import io
import os
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from sessions_platform.contracts.stream import Source
from sessions_platform.sources.base import Keep
from sessions_platform.sources.lines import Lines, Records, lines, whole_lines
from sessions_platform.sources.parquet_process import ParquetProcess
from sessions_platform.sources.unpacking import packing_of, unpacked
from sessions_platform.sources.unreadable import Unreadable

BLOCK_BYTES = 8 * 1024 * 1024
BLOCK_ROWS = 32_768  # at most: short rows take far more room once they are objects


class FileReading:
    """One pass over a landing file, in blocks of about `block_bytes` of text.

    Memory is bounded by the block and by the longest line. The file is read as long as it is when it is
    opened: what is written behind that meanwhile is for the next reading.
    """

    def __init__(
        self, path: Path, source: Source, keep: Keep, parquet: ParquetProcess, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.digest = ""
        self.text_bytes: int | None = None
        self._path = path
        self._source = source
        self._keep = keep
        self._parquet = parquet
        self._block_bytes = block_bytes

    def __iter__(self) -> Iterator[pl.DataFrame]:
        self._sha256 = hashlib.sha256()
        self._texts_bytes, self._preamble, self._header = 0, b"", None
        self._position = 1
        with self._path.open("rb", buffering=0) as handle:
            self._size = os.fstat(handle.fileno()).st_size
            try:
                yield from self._table(handle) if self._source.format == "parquet" else self._text_rows(handle)
                self.text_bytes = None if self._source.format == "parquet" else self._texts_bytes - len(self._preamble)
                if self._position == 1 and self._size:
                    self._copy(handle)  # what it holds, a CSV header perhaps, has no row to stand beside
            except Unreadable as broken:
                if self._source.format != "parquet":
                    self._hash_rest(handle)
                yield self._unreadable(handle, str(broken))
        self.digest = self._sha256.hexdigest()

    # Rows

    def _text_rows(self, handle: io.FileIO) -> Iterator[pl.DataFrame]:
        texts = whole_lines(self._without_bom(self._texts(handle)))
        quote, encoding = self._source.quote, self._source.encoding
        records = None
        if self._source.format == "csv" and quote:
            records = Records(self._source.separator.encode(encoding), quote.encode(encoding))
        cut = records.cut(texts) if records else map(lines, texts)
        if self._source.format == "csv" and self._source.header is True:
            cut = self._without_header(cut, records)
        for payloads, ends in cut:
            for start in range(0, len(payloads), BLOCK_ROWS):
                yield self._block(payloads[start : start + BLOCK_ROWS], ends[start : start + BLOCK_ROWS])

    def _table(self, handle: io.FileIO) -> Iterator[pl.DataFrame]:
        """Hashed before it is read: Parquet is not read from front to end."""
        self._hash_rest(handle)
        room = self._source.max_unpacked
        for payloads in self._parquet.rows(handle, self._block_bytes, BLOCK_ROWS):
            yield self._block(payloads, None)
            room -= sum(map(len, payloads))
            if room < 0:
                raise Unreadable(f"it unpacks to more than max_unpacked, {self._source.max_unpacked} bytes")

    def _block(self, payloads: list[bytes], ends: list[bytes] | None) -> pl.DataFrame:
        block = pl.DataFrame({"payload": payloads}, schema={"payload": pl.Binary}).select(
            pl.int_range(self._position, self._position + len(payloads), dtype=pl.Int64).alias("position"),
            self._preamble_column(len(payloads)).alias("preamble"),
            "payload",
            _line_ends(ends).alias("line_end"),
            pl.lit(self._header, pl.Binary).alias("header"),
            pl.lit(None, pl.String).alias("unreadable"),
        )
        self._position += len(payloads)
        return block

    def _preamble_column(self, height: int) -> pl.Expr:
        if self._position > 1 or not self._preamble:
            return pl.lit(None, pl.Binary)
        return pl.lit(pl.Series([self._preamble] + [None] * (height - 1), dtype=pl.Binary))

    def _unreadable(self, handle: io.FileIO, reason: str) -> pl.DataFrame:
        """The row that stands for all that could not be read. The copy is of the whole file, for what is
        compressed, or a table, means nothing without its beginning."""
        place = self._copy(handle)
        return self._block([place.encode()], None).with_columns(unreadable=pl.lit(reason))

    def _copy(self, handle: io.FileIO) -> str:
        handle.seek(0)
        return self._keep(self._pieces(handle, 1 << 20, hashed=False))

    # Text

    def _texts(self, handle: io.FileIO) -> Iterator[bytes]:
        """The file's text, decompressed, in pieces of about a block."""
        packing = packing_of(os.pread(handle.fileno(), 4, 0))
        if packing is None:
            texts = self._pieces(handle, self._block_bytes)
        else:
            pieces = self._pieces(handle, packing.piece_bytes)
            texts = _gathered(unpacked(pieces, packing, self._source.max_unpacked), self._block_bytes)
        for text in texts:
            self._texts_bytes += len(text)
            yield text
        self._hash_rest(handle)

    def _without_bom(self, texts: Iterable[bytes]) -> Iterator[bytes]:
        rest = iter(texts)
        start = b""
        while len(start) < len(BOM_UTF8) and (text := next(rest, None)) is not None:
            start += text
        if self._source.encoding == "utf-8" and start.startswith(BOM_UTF8):
            self._preamble = BOM_UTF8
        yield start[len(self._preamble) :]
        yield from rest

    def _without_header(self, cut: Iterable[Lines], records: Records | None) -> Iterator[Lines]:
        for payloads, ends in cut:
            if self._header is None and payloads:
                self._header = payloads.pop(0)
                self._preamble += self._header + ends.pop(0)
                if records and not records.is_whole(self._header):
                    raise Unreadable("its first record, the header, is no CSV: a quote is open or stands amid a field")
            yield Lines(payloads, ends)

    # Bytes

    def _pieces(self, handle: io.FileIO, size: int, *, hashed: bool = True) -> Iterator[bytes]:
        room = self._size - handle.tell()
        while room and (piece := handle.read(min(size, room))):
            room -= len(piece)
            if hashed:
                self._sha256.update(piece)
            yield piece

    def _hash_rest(self, handle: io.FileIO) -> None:
        for _ in self._pieces(handle, 1 << 20):
            pass


def _line_ends(ends: list[bytes] | None) -> pl.Expr:
    """As a constant, if it is one: it mostly is."""
    if ends is None or ends.count(ends[0]) == len(ends):
        return pl.lit(ends and ends[0], pl.Binary)
    return pl.lit(pl.Series(ends, dtype=pl.Binary))


def _gathered(texts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Texts joined to about this size; all that there are, also where what follows is Unreadable."""
    held: list[bytes] = []
    length = 0
    try:
        for text in texts:
            held.append(text)
            length += len(text)
            if length >= size:
                yield b"".join(held)
                held, length = [], 0
    except Unreadable:
        yield b"".join(held)
        raise
    yield b"".join(held)
