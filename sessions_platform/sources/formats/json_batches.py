"""NDJSON whose lines are envelopes: a record is an element of the array that is in each line.

A line is a document of its own: one that is broken costs no record of another. How the array of a line is found is
in `json_elements`.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import polars as pl

from sessions_platform.sources.formats.base import RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.json_brackets import Brackets, Flags, Offsets, brackets, broken_end
from sessions_platform.sources.formats.json_elements import ElementFinder, Found, State, headers_of, quoted_key
from sessions_platform.sources.formats.text_records import line_ends, no_records, span_blocks

# Where records begin and end, and the header of each (Binary); None where there are no envelopes.
_Span = tuple[Offsets, Offsets, pl.Series | None]
# What may be behind the last record of a line that isn't closed, and would be lost.
_CONTENT = re.compile(rb"[^\s,\[\]{}]")


class BatchSplitter:
    """Splits lines into the elements of their arrays.

    The last record that is found stays in memory until the next one is, for what is between them belongs to it.
    """

    def __init__(self, keys: list[str]) -> None:
        self._finder = ElementFinder(keys)
        self._has_envelopes = bool(keys)
        self._array_sign = quoted_key(keys[-1]) if keys else b"["
        self._held: bytes | None = None  # the last record, its length and header, and what is behind it
        self._held_length = 0
        self._held_header: bytes | None = None
        self._preamble = b""

    def split(self, texts: Iterable[bytes]) -> Iterator[RecordBlock]:
        """The records of texts each of which is whole lines."""
        try:
            for text in texts:
                yield from self._but_the_last(text)
        except CorruptDataError:
            yield from self._last()
            raise
        yield from self._last()

    def _but_the_last(self, text: bytes) -> Iterator[RecordBlock]:
        starts, ends, headers = self._records(text)
        if not len(starts):
            self._append(text)
            return
        if self._held is not None:
            offset, length = len(self._held), self._held_length
            text = self._held + text
            starts, ends = np.append(0, starts + offset), np.append(length, ends + offset)
            headers = None if headers is None else pl.concat([headers_of([self._held_header]), headers])
        last = int(starts[-1])
        if len(starts) > 1:
            preamble = self._preamble + text[: starts[0]]
            others = None if headers is None else headers[:-1]
            yield from span_blocks(text, starts[:-1], ends[:-1], others, last, preamble)
            self._preamble = b""
        elif self._held is None:
            self._preamble += text[:last]
        self._held, self._held_length = text[last:], int(ends[-1]) - last
        self._held_header = None if headers is None else headers[-1]

    def _append(self, text: bytes) -> None:
        """Bytes without a record belong to the record before them."""
        if self._held is None:
            self._preamble += text
        else:
            self._held += text

    def _last(self) -> Iterator[RecordBlock]:
        if self._held is not None:
            headers = self._header(self._held_header)
            starts, ends = np.array([0]), np.array([self._held_length])
            yield from span_blocks(self._held, starts, ends, headers, len(self._held), self._preamble)
        else:
            yield no_records(self._preamble)

    # Lines -----------------------------------------------------------------------------------------------

    def _records(self, text: bytes) -> _Span:
        """The records of whole lines: those of sound lines at once, of each other line by itself."""
        marks = brackets(text)
        ends = line_ends(text, ends=marks.newlines)
        is_broken = _broken_lines(marks, ends)
        if not is_broken.any():
            found = self._finder.find(text, State(), marks)
            if found.broken is None:
                return self._joined([self._spans(found, 0)])
            is_broken[np.searchsorted(ends, found.unpaired, side="right")] = True
        return self._joined(list(self._line_by_line(text, ends, is_broken)))

    def _line_by_line(self, text: bytes, ends: Offsets, is_broken: Flags) -> Iterator[_Span]:
        changes = np.flatnonzero(np.diff(is_broken)) + 1
        for first, last in pairwise([0, *changes.tolist(), len(ends)]):
            start, end = _start(ends, first), int(ends[last - 1])
            found = None if is_broken[first] else self._finder.find(text[start:end], State())
            if found and found.broken is None:
                yield self._spans(found, start)
                continue
            for line in range(first, last):
                yield from self._broken_line(text[_start(ends, line) : ends[line]], _start(ends, line))

    def _joined(self, spans: list[_Span]) -> _Span:
        starts, ends = (np.concatenate(part) for part in ([each[0] for each in spans], [each[1] for each in spans]))
        headers = [each[2] for each in spans if each[2] is not None]
        return starts, ends, pl.concat(headers) if headers else None

    def _spans(self, found: Found, offset: int) -> _Span:
        return found.starts + offset, found.ends + offset, found.header_of_each if self._has_envelopes else None

    def _broken_line(self, line: bytes, offset: int) -> Iterator[_Span]:
        """The records of a line whose brackets do not match: what can't be told apart is one record."""
        if self._array_sign not in line:  # the usual case, and there may be millions of them
            if content := line.strip():
                start = line.index(content) + offset
                yield np.array([start]), np.array([start + len(content)]), self._header(None)
            return
        state, at = State(), 0
        while True:
            found = self._finder.find(line[at:], state)
            yield self._spans(found, offset + at)
            if found.broken is None:
                break
            start, header = found.broken, found.headers[found.broken_header]
            end = self._broken_end(line[at:], start)
            yield np.array([start + at + offset]), np.array([end + at + offset]), self._header(header)
            state = State(self._finder.depth, header) if found.broken_in_array else State()
            at += end
        if found.open_document is not None:
            behind = at + int(found.ends[-1]) if len(found.ends) else at + found.open_document + 1
            if rest := _CONTENT.search(line, behind):
                end = len(line.rstrip())
                yield np.array([rest.start() + offset]), np.array([end + offset]), self._header(None)

    def _header(self, header: bytes | None) -> pl.Series | None:
        return headers_of([header]) if self._has_envelopes else None

    def _broken_end(self, line: bytes, start: int) -> int:
        if line[start : start + 1] in (b"]", b"}"):
            return start + 1
        return broken_end(line, start, final=True) or len(line.rstrip())


def _broken_lines(marks: Brackets, ends: Offsets) -> Flags:
    """Which lines do not begin and end outside of all values."""
    is_broken = np.zeros(len(ends), bool)
    if not len(marks.at):
        return is_broken
    line = np.searchsorted(ends, marks.at, side="right")
    after = marks.level + marks.opens  # the depth behind each bracket
    first = np.flatnonzero(np.diff(line, prepend=-1))
    before = np.append(0, after)[first]
    last = np.append(first[1:], len(line)) - 1
    lowest = np.minimum.reduceat(marks.level, first)
    is_broken[line[first]] = (after[last] != before) | (lowest < before)
    return is_broken


def _start(ends: Offsets, line: int) -> int:
    return int(ends[line - 1]) if line else 0
