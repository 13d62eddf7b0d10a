"""Records between which other bytes lie, of texts that come one after the other.

Where the records of a text are, the caller finds; here they become blocks, in which the bytes behind a record are its
terminator, up to the next record of this text or of a later one.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl

from sessions_platform.sources.formats.base import RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.json_brackets import Offsets
from sessions_platform.sources.formats.text_records import no_records, span_blocks

# Where records begin and end, and the header of each (Binary); None where there are no envelopes.
Spans = tuple[Offsets, Offsets, pl.Series | None]


def spans_of(records: Iterable[tuple[int, int, bytes | None]]) -> Spans:
    """Records with their headers, each of which may be null, in columns."""
    found = list(records)
    starts, ends = (np.array([record[place] for record in found], dtype=np.int64) for place in (0, 1))
    return starts, ends, pl.Series([header for _, _, header in found], dtype=pl.Binary)


class HeldRecords:
    """Cuts texts into records.

    The last record that is found stays in memory until the next one is, for what is between them belongs to it.

    Args:
        find: the records of a text.
    """

    def __init__(self, find: Callable[[bytes], Spans]) -> None:
        self._find = find
        self._held: bytes | None = None  # the last record and what is behind it
        self._held_length = 0
        self._held_header: pl.Series | None = None
        self._preamble = b""

    def split(self, texts: Iterable[bytes]) -> Iterator[RecordBlock]:
        """The records of texts, in none of which one is cut off."""
        try:
            for text in texts:
                yield from self._but_the_last(text)
        except CorruptDataError:
            yield from self._last()
            raise
        yield from self._last()

    def _but_the_last(self, text: bytes) -> Iterator[RecordBlock]:
        starts, ends, headers = self._find(text)
        if not len(starts):
            self._append(text)
            return
        if self._held is not None:
            offset, length = len(self._held), self._held_length
            text = self._held + text
            starts, ends = np.append(0, starts + offset), np.append(length, ends + offset)
            headers = None if headers is None or self._held_header is None else pl.concat([self._held_header, headers])
        last = int(starts[-1])
        if len(starts) > 1:
            preamble = self._preamble + text[: starts[0]]
            others = None if headers is None else headers[:-1]
            yield from span_blocks(text, starts[:-1], ends[:-1], others, last, preamble)
            self._preamble = b""
        elif self._held is None:
            self._preamble += text[:last]
        self._held, self._held_length = text[last:], int(ends[-1]) - last
        self._held_header = None if headers is None else headers[-1:]

    def _append(self, text: bytes) -> None:
        """Bytes without a record belong to the record before them."""
        if self._held is None:
            self._preamble += text
        else:
            self._held += text

    def _last(self) -> Iterator[RecordBlock]:
        if self._held is not None:
            starts, ends = np.array([0]), np.array([self._held_length])
            yield from span_blocks(self._held, starts, ends, self._held_header, len(self._held), self._preamble)
        else:
            yield no_records(self._preamble)
