"""How the bytes of a landing file become raw rows.

NDJSON and CSV are cut into lines and records without being understood: a payload is
the very bytes between two line ends. Compression is told by a file's first bytes,
not by its name. What cannot be read ends a file's rows with one that says why, and
where a copy of the file is. A file without rows is copied too. Only an outage (a vanished file, a missing permission)
is raised, as OSError.
"""

import io
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import polars as pl

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.settings import BLOCK_BYTES
from sessions_platform.sources.base import Quarantine
from sessions_platform.sources.files.hashed_file import HashedFile
from sessions_platform.sources.formats.base import CorruptDataError
from sessions_platform.sources.formats.compression import codec_of, decompressed
from sessions_platform.sources.formats.parquet.reader_process import ParquetProcess
from sessions_platform.sources.formats.text_records import Lines, Records, lines, whole_lines

_PIECE_BYTES = 256 * 1024
# Of a table at once: each is an object in Python on its way.
_TABLE_ROWS = 64 * 1024


class FileReading:
    """One pass over a landing file, in blocks of about `block_bytes` of text.

    Memory is bounded by the block and by the longest line. The file is read as long as it is when it is
    opened: what is written behind that meanwhile is for the next reading.
    """

    def __init__(
        self, path: Path, source: FilesSource, keep: Quarantine, parquet: ParquetProcess, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self.digest = ""
        self.text_bytes: int | None = None
        self._path = path
        self._source = source
        self._keep = keep
        self._parquet = parquet
        self._block_bytes = block_bytes

    def __iter__(self) -> Iterator[pl.DataFrame]:
        self._texts_bytes, self._preamble, self._header = 0, b"", None
        self._position = 1
        with self._path.open("rb", buffering=0) as handle:
            file = HashedFile(handle)
            try:
                yield from self._table(handle, file) if self._source.format == "parquet" else self._text_rows(file)
                self.text_bytes = None if self._source.format == "parquet" else self._texts_bytes - len(self._preamble)
                if self._position == 1 and file.size:
                    self._copy(file)  # what it holds, a CSV header perhaps, has no row to stand beside
            except CorruptDataError as broken:
                yield self._unreadable(file, str(broken))
            self.digest = file.digest()

    # Rows

    def _text_rows(self, file: HashedFile) -> Iterator[pl.DataFrame]:
        texts = whole_lines(self._without_bom(self._texts(file)), self._block_bytes)
        quote, encoding = self._source.quote, self._source.encoding
        records = None
        if self._source.format == "csv" and quote:
            records = Records(self._source.separator.encode(encoding), quote.encode(encoding))
        cut = records.cut(texts) if records else chain.from_iterable(map(lines, texts))
        if self._source.format == "csv" and self._source.header is True:
            cut = self._without_header(cut, records)
        for payloads, ends in cut:
            # a header stands beside each row that is stored
            height = max(1, self._block_bytes // max(1, len(self._header or b"")))
            for start in range(0, len(payloads), height):
                yield self._block(payloads[start : start + height], ends[start : start + height])

    def _table(self, handle: io.FileIO, file: HashedFile) -> Iterator[pl.DataFrame]:
        file.digest()  # before it is read: were it overwritten meanwhile, another digest would tell the next time
        room = self._source.max_unpacked
        for payloads in self._parquet.rows(handle, self._block_bytes, _TABLE_ROWS):
            yield self._block(pl.Series(payloads, dtype=pl.Binary), None)
            room -= sum(map(len, payloads))
            if room < 0:
                raise CorruptDataError(f"it unpacks to more than max_unpacked, {self._source.max_unpacked} bytes")

    def _block(self, payloads: pl.Series, ends: pl.Series | None) -> pl.DataFrame:
        height = len(payloads)
        block = payloads.to_frame("payload").select(
            pl.int_range(self._position, self._position + height, dtype=pl.Int64).alias("position"),
            self._preamble_column(height).alias("preamble"),
            "payload",
            pl.lit(ends if ends is not None else None, pl.Binary).alias("line_terminator"),
            pl.lit(self._header, pl.Binary).alias("header"),
            pl.lit(None, pl.String).alias("corrupt_reason"),
        )
        self._position += height
        return block

    def _preamble_column(self, height: int) -> pl.Expr:
        if self._position > 1 or not self._preamble:
            return pl.lit(None, pl.Binary)
        return pl.lit(pl.Series([self._preamble] + [None] * (height - 1), dtype=pl.Binary))

    def _unreadable(self, file: HashedFile, reason: str) -> pl.DataFrame:
        """The row that stands for all that could not be read. The copy is of the whole file, for what is
        compressed, or a table, means nothing without its beginning."""
        place = pl.Series([self._copy(file).encode()])
        return self._block(place, None).with_columns(corrupt_reason=pl.lit(reason))

    def _copy(self, file: HashedFile) -> str:
        return self._keep(file.pieces(1 << 20))

    # Text

    def _texts(self, file: HashedFile) -> Iterator[bytes]:
        """The file's text, decompressed, in pieces."""
        codec = codec_of(next(file.pieces(4), b""))
        if codec is None:
            texts = file.pieces(min(_PIECE_BYTES, self._block_bytes))
        else:
            texts = decompressed(file.pieces, codec, self._source.max_unpacked)
        for text in texts:
            self._texts_bytes += len(text)
            yield text

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
            if self._header is not None:
                yield Lines(payloads, ends)
                continue
            self._header = payloads[0]
            self._preamble += payloads[0] + ends[0]
            if records and not records.is_whole(payloads[0]):
                raise CorruptDataError(
                    "its first record, the header, is no CSV: a quote is open or stands amid a field"
                )
            yield Lines(payloads[1:], ends[1:])
