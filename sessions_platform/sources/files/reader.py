"""How the records of a landing file become raw rows.

Here: the columns of raw rows, and what is done with bytes that belong to no row. If a file, or the rest of it, can't be
read, its last row says why, and where the file is quarantined; a file without rows is quarantined too. Only an outage
(a vanished file, a missing permission) is raised, as OSError. Not here: reading and decompressing bytes (`content`),
and splitting them into records (`sources.formats`).
"""

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.settings import BLOCK_BYTES
from sessions_platform.sources.base import Extent, Quarantine, Span
from sessions_platform.sources.files.content import FileContent
from sessions_platform.sources.files.served import ServedFile
from sessions_platform.sources.formats.base import Format, RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.typed.payloads import with_payloads

_NO_BYTES = hashlib.sha256().hexdigest()


class FileReading:
    """One pass over a landing file (see `sources.base.Reading`), in blocks of about `block_bytes` of text.

    Memory is bounded by the block and by the longest line. The file is read as long as it is when it is
    opened: what is appended meanwhile is for the next reading. Of a span the text before it is split, too, and its
    rows are left out: so positions, headers and quotes are those of the whole file.
    """

    def __init__(
        self,
        path: Path,
        source: FilesSource,
        file_format: Format,
        quarantine: Quarantine,
        block_bytes: int = BLOCK_BYTES,
        opened: Callable[[Path], io.FileIO | ServedFile] = io.FileIO,
        span: Span | None = None,
        *,
        may_grow: bool = False,
    ) -> None:
        self.digest = self.text_digest = ""
        self.extent: Extent | None = None
        self.text_bytes: int | None = None
        self.warnings: list[str] = []
        self.keeps_fields = False
        self._path = path
        self._source = source
        self._format = file_format
        self._quarantine = quarantine
        self._block_bytes = block_bytes
        self._opened = opened
        self._span = span or Span()
        self._settling = _Settling(self._span) if may_grow else None

    def __iter__(self) -> Iterator[pl.DataFrame]:
        self._position = 1
        self._header: bytes | None = None
        if self._span.is_empty:
            self.digest = self.text_digest = _NO_BYTES
            return
        with self._opened(self._path) as handle:
            self._content = content = FileContent(handle, self._source, self._block_bytes, self._path.name, self._span)
            try:
                for block in self._format.records(content, self._block_bytes):
                    yield from self._rows(block)
                self._ended(content)
            except CorruptDataError as corrupt:
                if self._settling and content.has_open_head and not content.is_packed:
                    self.extent = self._settling.nothing(content)
                self._position = max(self._position, self._span.first_row + 1)
                yield self._corrupt_row(str(corrupt))
            self.digest, self.text_digest = content.digest(), content.text_digest()
            if self._span.first_byte:
                self.digest = content.digest_between(self._span.first_byte, content.size)

    def _ended(self, content: FileContent) -> None:
        """Keep what is known once all has been read."""
        if content.text_bytes is not None:
            self.text_bytes = max(0, content.text_bytes - max(len(content.preamble), content.first_byte))
        if self._settling and not content.is_packed:
            self.extent = self._settling.extent(content)
        self.warnings = content.warnings
        if self._position == 1 and content.size:
            self._quarantined()  # no row keeps what it contains, a CSV header perhaps

    def _rows(self, block: RecordBlock) -> Iterator[pl.DataFrame]:
        """The rows of a block, without those before the span, which other slices of the file have."""
        self._content.preamble += block.preamble
        if self._settling:
            self._settling.add(block)
        if before := min(len(block.payloads), max(0, self._span.first_row + 1 - self._position)):
            self._position += before
            block = _without_first(block, before)
        # Each stored row repeats its header, which may be longer than the row.
        height = max(1, self._block_bytes // max(1, _longest(block.header)))
        for start in range(0, len(block.payloads), height):
            part = slice(start, start + height)
            terminators = None if block.terminators is None else block.terminators[part]
            header = block.header[part] if isinstance(block.header, pl.Series) else block.header
            frame = self._frame(block.payloads[part], terminators, header)
            yield frame if block.fields is None else self._with_fields(frame, block.fields[part])
        self._header = None if isinstance(block.header, pl.Series) else block.header

    def _with_fields(self, frame: pl.DataFrame, fields: pl.DataFrame) -> pl.DataFrame:
        rows = frame.hstack(fields)
        return rows if self.keeps_fields else with_payloads(rows)

    def _frame(
        self, payloads: pl.Series, terminators: pl.Series | None, header: pl.Series | bytes | None
    ) -> pl.DataFrame:
        height = len(payloads)
        frame = payloads.to_frame("payload").select(
            pl.int_range(self._position, self._position + height, dtype=pl.Int64).alias("position"),
            self._preamble_column(height).alias("preamble"),
            "payload",
            pl.lit(terminators, pl.Binary).alias("line_terminator"),
            pl.lit(header, pl.Binary).alias("header"),
            pl.lit(None, pl.String).alias("corrupt_reason"),
        )
        self._position += height
        return frame

    def _preamble_column(self, height: int) -> pl.Expr:
        preamble = self._content.preamble
        if self._position > 1 or not preamble:
            return pl.lit(None, pl.Binary)
        return pl.lit(pl.Series([preamble] + [None] * (height - 1), dtype=pl.Binary))

    def _corrupt_row(self, reason: str) -> pl.DataFrame:
        """The row for all that could not be read; its payload is the path of the quarantined file.

        The whole file is quarantined, because the rest of a compressed file or a table is meaningless alone.
        """
        payload = pl.Series([self._quarantined().encode()])
        return self._frame(payload, None, self._header).with_columns(corrupt_reason=pl.lit(reason))

    def _quarantined(self) -> str:
        return self._quarantine(self._content.chunks(1 << 20))


class _Settling:
    """Follows how far the records of a file are settled, by the ends of its blocks."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._ends = [(0, 0)]  # bytes and rows
        self._unfinished = 0  # bytes of the last record, if it has no line end

    def add(self, block: RecordBlock) -> None:
        """One more block."""
        size, rows = self._ends[-1]
        size += len(block.preamble)
        if len(block.payloads) and block.terminators is not None:
            size += _bytes(block.payloads) + _bytes(block.terminators)
            self._unfinished = 0 if block.terminators[-1] else len(block.payloads[-1])
        self._ends.append((size, rows + len(block.payloads)))

    def nothing(self, content: FileContent) -> Extent:
        """Where the rows lie of a file that can't be read before more is appended."""
        return Extent(self._span.first_row, self._span.first_byte, content.size, 0, 0, _NO_BYTES)

    def extent(self, content: FileContent) -> Extent:
        """Where the rows lie, once all blocks have been added. A BOM that the text leaves out is added, too."""
        size, rows = self._ends[-1]
        bom = (content.text_bytes or 0) - size
        if content.open_bytes:
            size, rows = next((s, n) for s, n in reversed(self._ends) if s <= size - content.open_bytes)
        elif self._unfinished:
            size, rows = size - self._unfinished, rows - 1
        settled = size + bom if rows else 0
        span = self._span
        digest = content.digest() if settled == content.size else content.digest_between(0, settled)
        return Extent(span.first_row, span.first_byte, content.size, rows, settled, digest)


def _bytes(parts: pl.Series) -> int:
    return int(parts.bin.size().sum())


def _without_first(block: RecordBlock, count: int) -> RecordBlock:
    header = block.header[count:] if isinstance(block.header, pl.Series) else block.header
    terminators = None if block.terminators is None else block.terminators[count:]
    fields = None if block.fields is None else block.fields[count:]
    return RecordBlock(block.payloads[count:], terminators, header, fields=fields)


def _longest(header: pl.Series | bytes | None) -> int:
    """The length of the longest header, in bytes."""
    if isinstance(header, pl.Series):
        longest = header.bin.size().max()
        return longest if isinstance(longest, int) else 0
    return len(header or b"")
