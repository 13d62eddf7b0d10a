"""Read the rows in bulk of which a template proves what they hold.

All values of a column are then cut at once, without a Python object for any. What is not
proved here is left to `parse_plain`, and what is read here is just what it would have read:
texts without escapes, numbers that are spelled as Python spells them, no column at fault.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import polars as pl

from sessions_platform.contracts.formats import FORMATS, Layout
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.csv import header_names
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.registry import open_format
from sessions_platform.transforms.parse.row_parser import (
    Tree,
    paths_of,
    unnamed,
    value_at,
)
from sessions_platform.transforms.parse.scalars import Values
from sessions_platform.transforms.parse.templates import QUOTE, CsvTemplate, Fields, JsonTemplate, Slot, Template
from sessions_platform.transforms.parse.tokens import Numbers, Rows, Tokens, cut_at, readable
from sessions_platform.transforms.schema_drift import Entered, RowSignature, entered_objects

# A template costs about as much as reading so many rows one by one.
WORTH_A_TEMPLATE = 128
_MOST_TEMPLATES = 64
# Rows that have as many quotes as each other are mostly alike. If not, that is soon given up.
_MOST_TRIES = 8

_BACKSLASH = "\\"
# For a separator in quotes. No row that is read in bulk has it as data.
_STAND_IN = "\0"
# Records of more quotes are rare, and read one by one.
_MOST_PIECES = 513
Names = Callable[[bytes | None], list[str]]

_NOTHING = pl.lit(None, pl.String)


@dataclass(frozen=True)
class VectorizedRows:
    """Rows that were read, none of them at fault: their columns with `properties`, and their kinds."""

    rows: Numbers
    columns: pl.DataFrame
    kinds: list[RowSignature]


def read_vectorized(raw: pl.DataFrame, stream: Stream) -> Iterator[VectorizedRows]:
    """What can be read in bulk of these rows. No row is read twice."""
    entry = FORMATS[stream.source.format]
    is_utf8 = stream.source.encoding == "utf-8" or not entry.is_text
    if raw.height < WORTH_A_TEMPLATE or not is_utf8 or entry.layout is None:
        return
    read = {Layout.json_object: _json, Layout.delimited: _csv}[entry.layout]
    yield from read(raw, stream)


# JSON ----------------------------------------------------------------------------------------------------


def _json(raw: pl.DataFrame, stream: Stream) -> Iterator[VectorizedRows]:
    simple = readable(raw).without(_BACKSLASH).without_controls()
    reader = _Reader(raw, stream)
    templates = 0
    for alike in cut_at(simple, QUOTE):
        if len(alike) < WORTH_A_TEMPLATE:
            break  # the others are fewer still
        left = alike
        for _ in range(_MOST_TRIES):
            if len(left) < WORTH_A_TEMPLATE or templates == _MOST_TEMPLATES:
                break
            templates += 1
            read = _by_template_of_first(left, reader)
            if read is not None:
                yield read
            left = left.without(left.rows[:1] if read is None else read.rows)


def _by_template_of_first(rows: Tokens, reader: "_Reader") -> VectorizedRows | None:
    try:
        plan = reader.plan(JsonTemplate(reader.payloads[int(rows.rows[0])].decode()))
    except (ValueError, msgspec.DecodeError):
        return None
    return plan and reader.read(rows, plan)


# CSV -----------------------------------------------------------------------------------------------------


def _csv(raw: pl.DataFrame, stream: Stream) -> Iterator[VectorizedRows]:
    separator, quote = stream.source.separator, stream.source.quote
    simple = readable(raw).without(_STAND_IN)
    simple = simple.only(simple.texts != "")
    reader = _Reader(raw, stream)
    names_under = header_names(stream.source)
    if quote is None:
        yield from _records(simple, reader, separator, names_under)
        return
    simple = simple.without("\r")
    quoted = simple.texts.str.contains(quote, literal=True)
    yield from _records(simple.only(~quoted), reader, separator, names_under)
    if quoted.any() and quote != separator:
        for rows in _unquoted(simple.only(quoted).without("\n"), quote, separator):
            yield from _records(rows, reader, separator, names_under)


def _records(rows: Rows, reader: "_Reader", separator: str, names_under: Names) -> Iterator[VectorizedRows]:
    """Reads rows that hold no quotes. What stands in for a separator is one again once they have been cut."""
    for header, under in _by_header(reader.headers, rows):
        try:
            plan = reader.plan(CsvTemplate(names_under(header)))
        except MalformedError:
            continue
        if plan is None:
            continue
        for alike in cut_at(_plain_in_json(under) if plan.rest else under, separator):
            if alike.count != len(plan.template.slots):
                continue
            texts = alike.pieces.str.replace_all(_STAND_IN, separator, literal=True) if rows.stand_in else alike.pieces
            if read := reader.read(replace(alike, pieces=texts), plan):
                yield read


def _unquoted(rows: Rows, quote: str, separator: str) -> Iterator[Rows]:
    """The rows without their quotes, if these enclose whole fields. Something stands in for separators in quotes."""
    for alike in cut_at(rows, quote):
        if len(alike) < WORTH_A_TEMPLATE:
            break  # the others are fewer still
        if alike.count % 2 == 0 or alike.count > _MOST_PIECES:
            continue
        parts = [alike[number] for number in range(alike.count)]
        whole = ((parts[0] == "") | parts[0].str.ends_with(separator)) & (
            (parts[-1] == "") | parts[-1].str.starts_with(separator)
        )
        for between in parts[2:-1:2]:
            whole &= between.str.starts_with(separator) & between.str.ends_with(separator)
        parts[1::2] = [inner.str.replace_all(separator, _STAND_IN, literal=True) for inner in parts[1::2]]
        texts = pl.select(pl.concat_str(parts)).to_series()
        yield Rows(alike.rows, texts, stand_in=True).only(whole)


def _plain_in_json(rows: Rows) -> Rows:
    """Those that JSON holds as they are, without escapes."""
    return rows.without_controls().without(_BACKSLASH).without(QUOTE)


def _by_header(headers: pl.Series, rows: Rows) -> Iterator[tuple[bytes | None, Rows]]:
    if headers.null_count() == len(headers) or (headers == headers.head(1)).sum() == len(headers):
        yield headers[0], rows
        return
    numbers = headers.rle_id().gather(rows.numbers)
    for number in numbers.unique():
        under = rows.only(numbers == number)
        yield headers[int(under.numbers[0])], under


# Either --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """Where the rows of a template have the columns, and the fields that no column names."""

    template: Template
    columns: dict[str, list[Slot]]
    rest: Fields
    named: Tree


class _Reader:
    """Makes columns of the rows that fit a template."""

    def __init__(self, raw: pl.DataFrame, stream: Stream) -> None:
        self.payloads = raw["payload"]
        self.headers = raw["header"]
        self._stream = stream
        self._decode = open_format(stream.source).decoder()
        self._named_in = paths_of(stream)
        self._entered = entered_objects(stream)

    def plan(self, template: Template) -> _Plan | None:
        """None if the rows of the template are at fault, or may be."""
        found = {name: self._found(template.fields, name) for name in self._stream.columns}
        named = self._named_in(template.fields)
        rest = {} if named is None or self._stream.extra_columns == "drop" else unnamed(template.fields, named)
        at_fault = rest and self._stream.extra_columns == "reject"
        if at_fault or not all(isinstance(value, Slot) for values in found.values() for value in values):
            return None
        return _Plan(template, found, rest, named or {})

    def _found(self, fields: Fields, name: str) -> list[Any]:
        """What stands at the column's paths; of those to join all, or nothing."""
        column = self._stream.columns[name]
        paths = column.paths(name)
        found = [value for path in paths if (value := value_at(fields, path, path.split("."))) is not None]
        return [] if column.join and len(found) < len(paths) else found

    def read(self, rows: Tokens, plan: _Plan) -> VectorizedRows | None:
        """Those of the rows that fit; None if there are none."""
        values = Values(plan.template.fit(rows), plan.template.slots)
        if not len(values.rows):
            return None
        columns = {name: self._column(values, name, found) for name, found in plan.columns.items()}
        columns["properties"] = _object(_members(values, plan.rest, plan.named)) if plan.rest else values.nothing
        kinds = list(self._kinds(values, plan.template.fields))
        return VectorizedRows(values.rows, values.frame(columns), kinds)

    def _column(self, values: Values, name: str, found: list[Slot]) -> pl.Series | pl.Expr:
        if not found:
            return values.nothing
        if self._stream.columns[name].join:
            return pl.concat_str([_value(values, name, slot) for slot in found], separator=" ")
        never_null = next(
            (place for place, slot in enumerate(found) if not _may_be_null(values, name, slot)), len(found)
        )
        found = found[: never_null + 1]
        if len(found) == 1 and never_null == 0:
            return values.text(found[0])
        return pl.coalesce(_value(values, name, slot) for slot in found)

    def _kinds(self, values: Values, fields: Fields) -> Iterator[RowSignature]:
        for first, rows in values.kinds(list(_told(fields, self._entered))):
            example = self._decode(self.payloads[first], self.headers[first])
            yield RowSignature(example, first, rows)


def _may_be_null(values: Values, name: str, slot: Slot) -> bool:
    """An empty text names no user."""
    return values.may_be_null(slot) or (name == "user_id" and values.may_be_empty(slot))


def _value(values: Values, name: str, slot: Slot) -> pl.Expr:
    text = values.text_or_null(slot)
    return pl.when(text != "").then(text) if name == "user_id" and values.may_be_empty(slot) else text


def _told(fields: Fields, entered: Entered) -> Iterator[Slot]:
    """The values whose types a shape tells."""
    for key, value in fields.items():
        if isinstance(value, Slot):
            yield value
        elif key in entered and isinstance(value, dict):
            yield from _told(value, entered[key])


# Properties ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Member:
    """A key and its value, and whether each row has them."""

    text: pl.Expr
    always: bool


def _members(values: Values, rest: Fields, named: Tree) -> list[_Member]:
    """The fields as JSON. Those that are null are left out, as `unnamed` does it."""
    return [member for key, value in rest.items() if (member := _member(values, key, value, named.get(key)))]


def _member(values: Values, key: str, value: Any, below: Tree | None) -> _Member | None:
    name = f"{msgspec.json.encode(key).decode()}:"
    if below and isinstance(value, dict):
        inner = _members(values, value, below)
        return _Member(_concat([name, _object(inner)]), any(member.always for member in inner)) if inner else None
    if isinstance(value, Slot) and values.may_be_null(value):
        text = _concat([name, *_json_text(values, value)])
        return _Member(pl.when(values.text_or_null(value).is_not_null()).then(text), always=False)
    return _Member(_concat([name, *_json_text(values, value)]), always=True)


def _object(members: list[_Member]) -> pl.Expr:
    """Null if there are none."""
    if not members:
        return _NOTHING
    text = pl.concat_str([member.text for member in members], separator=",", ignore_nulls=True)
    text = _concat(["{", text, "}"])
    if any(member.always for member in members):
        return text
    return pl.when(pl.any_horizontal(member.text.is_not_null() for member in members)).then(text)


def _json_text(values: Values, value: Any) -> Iterator[pl.Expr | str]:
    if isinstance(value, Slot):
        quote = "" if value.null == "null" else '"'
        yield from (quote, pl.col(values.text(value).name), quote)
    elif isinstance(value, dict):
        for place, (key, inner) in enumerate(value.items()):
            yield f"{',' if place else '{'}{msgspec.json.encode(key).decode()}:"
            yield from _json_text(values, inner)
        yield "}" if value else "{}"
    else:
        for place, inner in enumerate(value):
            yield "," if place else "["
            yield from _json_text(values, inner)
        yield "]" if value else "[]"


def _concat(parts: Iterable[pl.Expr | str]) -> pl.Expr:
    return pl.concat_str([pl.lit(part) if isinstance(part, str) else part for part in parts])
