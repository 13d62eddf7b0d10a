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
from sessions_platform.sources.formats.held_records import HeldRecords, Spans
from sessions_platform.sources.formats.json_brackets import Brackets, Flags, Offsets, brackets, broken_end
from sessions_platform.sources.formats.json_elements import ElementFinder, Found, State, headers_of, quoted_key
from sessions_platform.sources.formats.text_records import line_ends

# What may be behind the last record of a line that isn't closed, and would be lost.
_CONTENT = re.compile(rb"[^\s,\[\]{}]")


class BatchSplitter:
    """Splits lines into the elements of their arrays."""

    def __init__(self, keys: list[str]) -> None:
        self._finder = ElementFinder(keys)
        self._has_envelopes = bool(keys)
        self._array_sign = quoted_key(keys[-1]) if keys else b"["

    def split(self, texts: Iterable[bytes]) -> Iterator[RecordBlock]:
        """The records of texts each of which is whole lines."""
        return HeldRecords(self.records_of).split(texts)

    def records_of(self, text: bytes) -> Spans:
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

    def _line_by_line(self, text: bytes, ends: Offsets, is_broken: Flags) -> Iterator[Spans]:
        changes = np.flatnonzero(np.diff(is_broken)) + 1
        for first, last in pairwise([0, *changes.tolist(), len(ends)]):
            start, end = _start(ends, first), int(ends[last - 1])
            found = None if is_broken[first] else self._finder.find(text[start:end], State())
            if found and found.broken is None:
                yield self._spans(found, start)
                continue
            for line in range(first, last):
                yield from self._broken_line(text[_start(ends, line) : ends[line]], _start(ends, line))

    def _joined(self, spans: list[Spans]) -> Spans:
        starts, ends = (np.concatenate(part) for part in ([each[0] for each in spans], [each[1] for each in spans]))
        headers = [each[2] for each in spans if each[2] is not None]
        return starts, ends, pl.concat(headers) if headers else None

    def _spans(self, found: Found, offset: int) -> Spans:
        return found.starts + offset, found.ends + offset, found.header_of_each if self._has_envelopes else None

    def _broken_line(self, line: bytes, offset: int) -> Iterator[Spans]:
        """The records of a line whose brackets do not match: what can't be told apart is one record.

        That is the whole line where the keys lead through arrays.
        """
        if self._array_sign not in line or self._finder.passed:  # the usual case, and there may be millions of them
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
