"""How the records of a landing file become raw rows.

Here: the columns of raw rows, and what is done with bytes that belong to no row. If a file, or the rest of it, can't be
read, its last row says why, and where the file is quarantined; a file without rows is quarantined too. Only an outage
(a vanished file, a missing permission) is raised, as OSError. Not here: reading and decompressing bytes (`content`),
and splitting them into records (`sources.formats`).
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.settings import BLOCK_BYTES
from sessions_platform.sources.base import Quarantine
from sessions_platform.sources.files.content import FileContent
from sessions_platform.sources.formats.base import Format, RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError


class FileReading:
    """One pass over a landing file (see `sources.base.Reading`), in blocks of about `block_bytes` of text.

    Memory is bounded by the block and by the longest line. The file is read as long as it is when it is
    opened: what is appended meanwhile is for the next reading.
    """

    def __init__(
        self,
        path: Path,
        source: FilesSource,
        file_format: Format,
        quarantine: Quarantine,
        block_bytes: int = BLOCK_BYTES,
        opened: Callable[[Path], io.FileIO] = io.FileIO,
    ) -> None:
        self.digest = self.text_digest = ""
        self.text_bytes: int | None = None
        self.warnings: list[str] = []
        self._path = path
        self._source = source
        self._format = file_format
        self._quarantine = quarantine
        self._block_bytes = block_bytes
        self._opened = opened

    def __iter__(self) -> Iterator[pl.DataFrame]:
        self._position = 1
        self._header: bytes | None = None
        with self._opened(self._path) as handle:
            self._content = content = FileContent(handle, self._source, self._block_bytes, self._path.name)
            try:
                for block in self._format.records(content, self._block_bytes):
                    yield from self._rows(block)
                if content.text_bytes is not None:
                    self.text_bytes = content.text_bytes - len(content.preamble)
                self.warnings = content.warnings
                if self._position == 1 and content.size:
                    self._quarantined()  # no row keeps what it contains, a CSV header perhaps
            except CorruptDataError as corrupt:
                yield self._corrupt_row(str(corrupt))
            self.digest, self.text_digest = content.digest(), content.text_digest()

    def _rows(self, block: RecordBlock) -> Iterator[pl.DataFrame]:
        self._content.preamble += block.preamble
        # Each stored row repeats its header, which may be longer than the row.
        height = max(1, self._block_bytes // max(1, _longest(block.header)))
        for start in range(0, len(block.payloads), height):
            part = slice(start, start + height)
            terminators = None if block.terminators is None else block.terminators[part]
            header = block.header[part] if isinstance(block.header, pl.Series) else block.header
            yield self._frame(block.payloads[part], terminators, header)
        self._header = None if isinstance(block.header, pl.Series) else block.header

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


def _longest(header: pl.Series | bytes | None) -> int:
    """The length of the longest header, in bytes."""
    if isinstance(header, pl.Series):
        longest = header.bin.size().max()
        return longest if isinstance(longest, int) else 0
    return len(header or b"")
