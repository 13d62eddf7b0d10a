"""Text cut into lines and CSV records, none of them understood, no byte of them lost."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from sessions_platform.sources.formats.base import CorruptDataError

# A line has to fit into memory several times over, and a rejected one into a field of PostgreSQL.
LONGEST_LINE = 128 * 1024 * 1024
# A quote that is still open so far behind was opened by mistake, and must not hold the file in memory.
LONGEST_OPEN_RECORD = 8 * 1024 * 1024
# What a row takes beside its bytes is bounded too: a text may be all newlines.
BLOCK_ROWS = 128 * 1024

# Where the rows of a text end, behind their line ends: int64, growing.
Ends = np.ndarray

_LF, _CR = b"\n\r"


class Lines(NamedTuple):
    """Lines or records, and the line end of each: LF, CR LF, or nothing at the end of the file. Both are Binary."""

    payloads: pl.Series
    ends: pl.Series


def whole_lines(texts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same text in pieces of about this size, cut only after a newline; what follows the last one comes last.

    Raises Unreadable at a line that is too long to be held, and passes it on from the texts; all whole lines before
    were given. No text may be as long as that line itself.
    """
    held: list[bytes] = []
    length = begun = 0  # what is held, and how much of that belongs to a line that goes on
    try:
        for text in texts:
            first, last = text.find(b"\n"), text.rfind(b"\n") + 1
            if begun + (first if last else len(text)) > LONGEST_LINE:
                raise CorruptDataError(f"the rest of the file begins with a line of more than {LONGEST_LINE >> 20} MiB")
            if last and length + len(text) >= size:
                yield b"".join([*held, memoryview(text)[:last]])
                held = [text[last:]]
                length = begun = len(text) - last
            else:
                held.append(text)
                length += len(text)
                begun = len(text) - last if last else begun + len(text)
    except CorruptDataError:
        if length > begun:
            yield b"".join(held)[: length - begun]
        raise
    if length:
        yield b"".join(held)


def lines(text: bytes) -> Iterator[Lines]:
    """Newlines end a line, with the carriage return before them. Other carriage returns are data."""
    return _rows(text, _line_ends(text))


def _line_ends(text: bytes) -> Ends:
    ends = _positions(text, _LF) + 1
    return np.append(ends, len(text)) if text and not text.endswith(b"\n") else ends


def _positions(text: bytes, sign: int) -> Ends:
    return np.flatnonzero(np.frombuffer(text, np.uint8) == sign)


def _rows(text: bytes, ends: Ends) -> Iterator[Lines]:
    """Its rows, BLOCK_ROWS at most at a time. They are views of the text, and hold it; no byte is copied."""
    start, blocks = 0, -(-len(ends) // BLOCK_ROWS)
    for some in np.array_split(ends, blocks) if blocks else ():  # in equal parts, for a small one costs nearly as much
        yield _cut(text, start, some)
        start = some[-1]


def _cut(text: bytes, start: int, ends: Ends) -> Lines:
    data = np.frombuffer(text, np.uint8)
    starts = np.append(start, ends[:-1])
    newline = data[ends - 1] == _LF
    carriage_return = newline & (ends - starts > 1) & (data[ends - 2] == _CR)
    # payload, line end, payload, line end …
    cuts = np.empty(2 * len(ends) + 1, np.int64)
    cuts[0] = start
    cuts[1::2] = ends - newline - carriage_return
    cuts[2::2] = ends
    buffers = [None, pa.py_buffer(cuts), pa.py_buffer(text)]
    pieces = pl.Series(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(cuts) - 1, buffers))
    return Lines(pieces.gather_every(2), pieces.gather_every(2, 1))


class Records:
    """Cuts CSV into records: a quoted field may hold line ends.

    A line with an even number of quotes is a record by itself. On any other a field may open
    that is closed on a later line, by a quote with a separator or a line end behind it. Where
    something else is behind it, or it isn't closed within LONGEST_OPEN_RECORD or the file, it
    was opened by mistake: the lines from the opening one on are records each by itself. So
    one stray quote costs the row that it stands in, and none of the rows behind.
    """

    def __init__(self, separator: bytes, quote: bytes) -> None:
        # Atomic groups, so that no long record is tried in many ways. Possessive repeats would say the same
        # in fewer signs, but Python 3.11.2, which Debian 12 has, gets nested ones wrong.
        inside = rb"(?>[^Q]*(?:QQ[^Q]*)*)"
        field = rb"(?:Q" + inside + rb"Q|(?!Q)(?>[^S]*))"
        more = rb"(?>(?:S" + field + rb")*)"
        self._quote = quote
        self._whole = self._pattern(field + more, separator)
        self._opens = self._pattern(rb"(?>(?:" + field + rb"S)*)Q" + inside, separator)
        self._closes = self._pattern(inside + rb"Q" + more + rb"(?:\r?\n)?", separator)
        self._stays_open = self._pattern(inside + rb"(?:Q" + more + rb"SQ" + inside + rb")?", separator)

    def _pattern(self, spelled: bytes, separator: bytes) -> re.Pattern[bytes]:
        escaped = {b"Q": re.escape(self._quote), b"S": re.escape(separator)}
        return re.compile(re.sub(rb"[QS]", lambda found: escaped[found[0]], spelled))

    def is_whole(self, record: bytes) -> bool:
        return self._whole.fullmatch(record) is not None

    def cut(self, texts: Iterable[bytes]) -> Iterator[Lines]:
        """The records of texts that are whole lines."""
        held = b""
        for more in texts:
            text = held + more
            ends, decided = self._record_ends(text)
            yield from _rows(text, ends)
            held = text[decided:]
        yield from lines(held)

    def _record_ends(self, text: bytes) -> tuple[Ends, int]:
        """Where records end, and how much of the text that decides: in the rest one is open that may yet be closed."""
        ends = _line_ends(text)
        inner = np.zeros(len(ends), bool)  # line ends amid a record
        following = 0
        for line in self._odd_lines(text, ends):
            if line < following or not self._opens.fullmatch(text, _start(ends, line), ends[line]):
                continue
            found = self._close(text, ends, line)
            if found is None:
                return ends[:line][~inner[:line]], _start(ends, line)
            following, is_closed = found
            inner[line : following - 1] = is_closed
        return ends[~inner], len(text)

    def _odd_lines(self, text: bytes, ends: Ends) -> list[int]:
        """The lines with an odd number of quotes."""
        if self._quote not in text:
            return []
        quotes = _positions(text, ord(self._quote))
        return np.flatnonzero(np.bincount(np.searchsorted(ends, quotes, side="right")) & 1).tolist()

    def _close(self, text: bytes, ends: Ends, opening: int) -> tuple[int, bool] | None:
        """The line behind those that the opening one holds, and whether they are one record; None if it stays open."""
        too_far = np.searchsorted(ends, _start(ends, opening) + LONGEST_OPEN_RECORD, side="right")
        line = opening
        while True:
            place = text.find(self._quote, ends[line])
            line = len(ends) if place < 0 else int(np.searchsorted(ends, place, side="right"))
            if too_far < line:
                return int(too_far) + 1, False
            if line == len(ends):
                return None
            if not self._stays_open.fullmatch(text, ends[line - 1], ends[line]):
                is_closed = self._closes.fullmatch(text, ends[line - 1], ends[line]) is not None
                return line + is_closed, is_closed


def _start(ends: Ends, line: int) -> int:
    return int(ends[line - 1]) if line else 0
