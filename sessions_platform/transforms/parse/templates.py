"""How a whole group of rows is written: the same fields in the same order, with other values.

A template is all of a row that is no value. A row that is cut at its quotes into as many pieces, holds the
literals each in its piece, and elsewhere nothing but values is thereby proved to be an object of those fields,
unparsed.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec

from sessions_platform.transforms.parse.tokens import Tokens

QUOTE = '"'
# Objects of more fields are rare, and read one by one.
_MOST_SLOTS = 256
_DEEPEST = 100

# A key is no value, and is known by the colon behind it. Only for valid JSON without escapes.
_VALUE = re.compile(r'"[^"]*"(?= *:)|"(?P<text>[^"]*)"|(?P<scalar>[^ {}\[\],:"]+)')

Fields = dict[str, Any]


@dataclass(frozen=True)
class Slot:
    """Where a value stands: in the piece of this number, between two literals that may be empty.

    `null` is the text that means null there.
    """

    piece: int
    before: str = ""
    after: str = ""
    null: str | None = None

    @property
    def name(self) -> str:
        return str(self.piece)


class JsonTemplate:
    """Literals and slots: a row's pieces between its quotes, of which the even ones are no texts."""

    def __init__(self, line: str) -> None:
        """Of a line without backslashes and control characters. Raises ValueError if it makes no template."""
        if line.count("{") + line.count("[") > _DEEPEST or line.count(QUOTE) > 4 * _MOST_SLOTS:
            raise ValueError("too large")
        msgspec.json.decode(line)
        found = [value for value in _VALUE.finditer(line) if value.lastgroup]
        self.slots = list(_json_slots(line, found))
        slots = {slot.piece for slot in self.slots}
        if len(slots) < len(self.slots):
            raise ValueError("a list of numbers")
        self._literals = [(at, piece) for at, piece in enumerate(line.split(QUOTE)) if at not in slots]
        self.fields = self._fields(line)

    def _fields(self, line: str) -> Fields:
        """The object, with slots in the place of the values."""
        numbers = count()
        numbered = _VALUE.sub(lambda value: str(next(numbers)) if value.lastgroup else value[0], line)
        slot = self.slots.__getitem__
        fields = json.loads(numbered, parse_int=lambda index: slot(int(index)), object_pairs_hook=_distinct)
        if type(fields) is not dict or not 0 < len(self.slots) <= _MOST_SLOTS:
            raise ValueError("no object with values")
        return fields

    def fit(self, rows: Tokens) -> Tokens:
        """Those of the rows that are written by the template, if their scalars are scalars.

        They have just as many pieces as the template, so no text holds a quote. Nor may they hold backslashes or
        control characters.
        """
        return rows.holding(self._literals)


def _json_slots(line: str, found: list[re.Match[str]]) -> Iterator[Slot]:
    piece = edge = 0
    for value in found:
        start, end = value.span(value.lastgroup or 0)
        piece += line.count(QUOTE, edge, start)
        edge = start
        if value.lastgroup == "text":
            yield Slot(piece)
        else:
            before = line[line.rfind(QUOTE, 0, start) + 1 : start]
            yield Slot(piece, before, line[end:].partition(QUOTE)[0], "null")


def _distinct(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key stands twice")
    return fields


class CsvTemplate:
    """Records without quotes, under one header."""

    def __init__(self, names: list[str]) -> None:
        self.slots = [Slot(index, null="") for index in range(len(names))]
        self.fields: Fields = dict(zip(names, self.slots, strict=True))

    def fit(self, rows: Tokens) -> Tokens:
        """All of them, if they are neither empty nor hold a quote, and have as many fields as the header."""
        return rows


Template = JsonTemplate | CsvTemplate
