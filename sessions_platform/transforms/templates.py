"""How a whole group of rows is written: the same fields in the same order, with other values.

A template is all of a row that is no value. A row that holds its literals, each in its place, and
between them nothing but values is thereby proved to be an object of those fields, unparsed.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from types import NoneType
from typing import Any

import msgspec
import numpy as np

from sessions_platform.transforms.rows_of_bytes import Flags, Numbers, RowsOfBytes

QUOTE = ord('"')
# Objects of more fields are rare, and read one by one.
_MOST_SLOTS = 256
_DEEPEST = 100

# A key is no value, and is known by the colon behind it. Only for valid JSON without escapes.
_VALUE = re.compile(rb'"[^"]*"(?= *:)|"(?P<text>[^"]*)"|(?P<scalar>[^ {}\[\],:"]+)')

Fields = dict[str, Any]


@dataclass(frozen=True)
class Slot:
    """Where a value stands. `null` is the text that means null there, `type` the value's in the example."""

    index: int
    type: type
    null: str | None

    @property
    def name(self) -> str:
        return str(self.index)


@dataclass(frozen=True)
class Spans:
    """Where each slot's value starts and ends, in each of the `rows`."""

    rows: Numbers
    starts: list[Numbers]
    ends: list[Numbers]

    def filter(self, keep: Flags) -> "Spans":
        if keep.all():
            return self
        return Spans(self.rows[keep], [at[keep] for at in self.starts], [at[keep] for at in self.ends])


class Marks:
    """The positions of one byte, and how many of them each row has."""

    def __init__(self, lines: RowsOfBytes, byte: int) -> None:
        self._positions = lines.positions(byte)
        self._of_row = self._as_everywhere(lines)
        if self._of_row is not None:
            self.counts: Numbers = np.full(len(lines.starts), self._of_row.shape[1])
        else:
            first = np.searchsorted(self._positions, np.append(lines.starts, lines.ends[-1]))
            self._first, self.counts = first[:-1], np.diff(first)

    def _as_everywhere(self, lines: RowsOfBytes) -> Numbers | None:
        """If all rows have equally many, as they mostly do: a row of positions for each of them."""
        rows = len(lines.starts)
        each, odd = divmod(len(self._positions), rows)
        if odd or not each:
            return None
        of_row = self._positions.reshape(rows, each)
        is_own = (of_row[:, 0] >= lines.starts).all() and (of_row[:, -1] < lines.ends).all()
        return of_row if is_own else None

    def of(self, rows: Numbers) -> Callable[[int], Numbers]:
        """Asks where in each of the rows its first mark stands (0), its second (1) and so on; each has to have it."""
        if not len(rows):
            return lambda _: rows
        if self._of_row is None:
            first = self._first[rows]
            return lambda number: self._positions[first + number]
        of_row = self._of_row if len(rows) == len(self._of_row) else self._of_row[rows]
        return lambda number: of_row[:, number]


class JsonTemplate:
    """Literals and the slots between them: one literal more than slots."""

    def __init__(self, line: bytes) -> None:
        """Of a line without backslashes and control characters. Raises ValueError if it makes no template."""
        self._slots: list[Slot] = []
        if line.count(b"{") + line.count(b"[") > _DEEPEST or line.count(b'"') > 4 * _MOST_SLOTS:
            raise ValueError("too large")
        msgspec.json.decode(line)
        found = [value for value in _VALUE.finditer(line) if value.lastgroup]
        edges = [0, *(edge for value in found for edge in value.span(value.lastgroup or 0)), len(line)]
        self._literals = [line[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
        self._anchors = list(_anchors(self._literals))
        self.slots = [_json_slot(index, value) for index, value in enumerate(found)]
        self.fields = self._fields(line)
        self.quotes = sum(literal.count(b'"') for literal in self._literals)

    def _fields(self, line: bytes) -> Fields:
        """The object, with slots in the place of the values."""
        numbers = count()
        numbered = _VALUE.sub(lambda value: b"%d" % next(numbers) if value.lastgroup else value[0], line)
        slot = self.slots.__getitem__
        fields = json.loads(numbered.decode(), parse_int=lambda index: slot(int(index)), object_pairs_hook=_distinct)
        if type(fields) is not dict or not 0 < len(self.slots) <= _MOST_SLOTS:
            raise ValueError("no object with values")
        return fields

    def fit(self, lines: RowsOfBytes, marks: Marks, rows: Numbers) -> Spans:
        """Those of the rows that are written by the template, if their scalars are scalars.

        They have to have just as many quotes as the literals: so no text holds one. Nor may they
        hold backslashes or control characters.
        """
        quote_of, ends = marks.of(rows), lines.ends[rows]
        begin = [lines.starts[rows]]
        for (quote, offset), literal in zip(self._anchors, self._literals[1:], strict=True):
            begin.append((ends - len(literal)) if quote is None else quote_of(quote) - offset)
        after = [start + len(literal) for start, literal in zip(begin, self._literals, strict=True)]
        in_order = after[-1] == ends
        for end, start in zip(after, begin[1:], strict=False):
            in_order &= end <= start
        spans = Spans(rows, begin, after).filter(in_order)
        for place, literal in enumerate(self._literals):
            spans = spans.filter(lines.equal(spans.starts[place], literal))
        return Spans(spans.rows, spans.ends[:-1], spans.starts[1:])


def _anchors(literals: list[bytes]) -> Iterator[tuple[int | None, int]]:
    """For each literal but the first a quote of the row, and how far behind the literal's start it stands.

    The last one may have none: it stands at the row's end.
    """
    quotes = literals[0].count(b'"')
    for place, literal in enumerate(literals[1:], start=2):
        offset = literal.find(b'"')
        if offset < 0 and place < len(literals):
            raise ValueError("a list of numbers")
        yield (quotes if offset >= 0 else None), offset
        quotes += literal.count(b'"')


def _json_slot(index: int, value: re.Match[bytes]) -> Slot:
    if value.lastgroup == "text":
        return Slot(index, str, None)
    return Slot(index, type(msgspec.json.decode(value[0])), "null")


def _distinct(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key stands twice")
    return fields


class CsvTemplate:
    """Records without quotes, under one header."""

    def __init__(self, names: list[str]) -> None:
        self.slots = [Slot(index, NoneType, "") for index in range(len(names))]
        self.fields: Fields = dict(zip(names, self.slots, strict=True))

    def fit(self, lines: RowsOfBytes, marks: Marks, rows: Numbers) -> Spans:
        """Of rows that are neither empty nor hold a quote: those with as many fields as the header."""
        rows = rows[marks.counts[rows] == len(self.slots) - 1]
        separator_of = marks.of(rows)
        between = [separator_of(number) for number in range(len(self.slots) - 1)]
        return Spans(rows, [lines.starts[rows], *(at + 1 for at in between)], [*between, lines.ends[rows]])


Template = JsonTemplate | CsvTemplate
