"""Templates: the part of a row that rows of equal structure share, and the slots where their values are.

A JSON template is made of one row by cutting it at its quotes. In valid JSON without backslashes every quote begins
or ends a string, so the tokens alternate: those of even number are structure (braces, colons, commas, scalars), those
of odd number are the texts of strings, keys or values. A token that contains a value has a *slot*: a string value is
a whole token, a scalar (number, boolean or null) is a token's middle part, between two literals. All other tokens are
*literals*.

    {"a":"x","b":12}      tokens   {  a  :  x  ,  b  :12}      slots   3, and 6 between ":" and "}"

A row matches if it has as many tokens, the same literals, and a scalar in each scalar slot. Such a row is the
template with other values between the same quotes, so it is valid JSON with the same fields in the same order, and
nothing of it has to be parsed. That holds for rows without backslashes and control characters only: then whatever is
between two quotes is a valid JSON string that means what it says. The caller keeps to that (``vectorized``).

A template of fields has a slot for each field of a record: those that a CSV header names, for records without quotes,
or the named groups of a pattern. That of a typed file has one for each of its columns.

Not here: how rows are cut and compared (``tokens``), how a scalar is recognized (``scalars``).
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
# Objects with more values, or nested deeper, are rare and are read row by row.
_MOST_SLOTS = 256
_DEEPEST = 100

# A string before a colon is a key, any other is a value. Only for valid JSON without backslashes.
_VALUE = re.compile(r'"[^"]*"(?= *:)|"(?P<text>[^"]*)"|(?P<scalar>[^ {}\[\],:"]+)')

Fields = dict[str, Any]


@dataclass(frozen=True)
class Slot:
    """Where a value is: in the token of this number, between two literals that may be empty.

    `null` is the text that means null there: "null" for a JSON scalar, "" for a CSV field, "-" in W3C. A JSON
    string has none.
    """

    token: int
    before: str = ""
    after: str = ""
    null: str | None = None

    @property
    def name(self) -> str:
        return str(self.token)


class JsonTemplate:
    """The structure of one JSON object: `slots` in the order of the row, and `fields`, the object with slots as values.

    Args:
        line: a row without backslashes and control characters.

    Raises:
        ValueError: no template can be made of the row: it is no object with values, or too large, or has a key twice,
            or two scalars between the same two quotes (``[1, 2]``).
        msgspec.DecodeError: it is not valid JSON.
    """

    def __init__(self, line: str) -> None:
        if line.count("{") + line.count("[") > _DEEPEST or line.count(QUOTE) > 4 * _MOST_SLOTS:
            raise ValueError("too large")
        msgspec.json.decode(line)
        values = [value for value in _VALUE.finditer(line) if value.lastgroup]
        self.slots = list(_json_slots(line, values))
        tokens_with_slot = {slot.token for slot in self.slots}
        if len(tokens_with_slot) < len(self.slots):
            raise ValueError("two scalars in one token")
        tokens = enumerate(line.split(QUOTE))
        self._literals = [(number, text) for number, text in tokens if number not in tokens_with_slot]
        self.fields = self._fields(line)

    def _fields(self, line: str) -> Fields:
        """The object with its slots as values: parsed after each value was replaced by the number of its slot."""
        numbers = count()
        numbered = _VALUE.sub(lambda value: str(next(numbers)) if value.lastgroup else value[0], line)
        slot = self.slots.__getitem__
        fields = json.loads(numbered, parse_int=lambda index: slot(int(index)), object_pairs_hook=_distinct)
        if type(fields) is not dict or not 0 < len(self.slots) <= _MOST_SLOTS:
            raise ValueError("no object with values")
        return fields

    def matching(self, rows: Tokens) -> Tokens:
        """The rows with the template's literals; they match if their scalar slots contain scalars (``scalars``).

        Args:
            rows: rows with as many tokens as the template, cut at quotes, without backslashes and control characters.
        """
        return rows.matching(self._literals)


def _json_slots(line: str, values: list[re.Match[str]]) -> Iterator[Slot]:
    token = counted_to = 0
    for value in values:
        start, end = value.span(value.lastgroup or 0)
        token += line.count(QUOTE, counted_to, start)
        counted_to = start
        if value.lastgroup == "text":
            yield Slot(token)
        else:
            before = line[line.rfind(QUOTE, 0, start) + 1 : start]
            yield Slot(token, before, line[end:].partition(QUOTE)[0], "null")


def _distinct(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key occurs twice")
    return fields


class FieldsTemplate:
    """The fields of a record, in its order, by name; with `slots` and `fields` as a ``JsonTemplate`` has them.

    `null` is the text that means null in a field; None if null is null there already. They always match records that
    are cut into as many fields.
    """

    def __init__(self, names: list[str], null: str | None = "") -> None:
        self.slots = [Slot(index, null=null) for index in range(len(names))]
        self.fields: Fields = dict(zip(names, self.slots, strict=True))


@dataclass(frozen=True)
class TypedTemplate:
    """The template of all rows of a typed file; with `slots` and `fields` as a ``JsonTemplate`` has them."""

    slots: list[Slot]
    fields: Fields


Template = JsonTemplate | FieldsTemplate | TypedTemplate
