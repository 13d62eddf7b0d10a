"""Parse payloads row by row: the definition of what parsing means.

``parse`` uses this for every row that ``vectorized`` leaves out, and tests compare the two. Here too are the rules that
both share: which fields no column names (``paths_of``, ``unnamed``). How a path finds a value is in ``paths``, how one
payload is decoded into fields in ``sources.formats``, and which rows go where is decided in ``parse``.

A JSON object that has a key twice means the later one, as in most parsers. An empty CSV field is null, and so are an
absent key, a blank text and one of `nulls` (``cleaning``).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from types import NoneType
from typing import Any

import msgspec
import polars as pl

from sessions_platform.contracts.columns import ENVELOPE, Column, ColumnType
from sessions_platform.contracts.field_paths import enters_value, names_of, reads_json, steps_of
from sessions_platform.contracts.polars_types import REASON, REASONS
from sessions_platform.contracts.rejection_reasons import VALUE_SHOWN, Code, Reason
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.base import Decoder, Fields, decode_all
from sessions_platform.sources.formats.envelopes import envelope_decoder
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.json_objects import JSON_NAMES, spelling
from sessions_platform.sources.formats.registry import open_format
from sessions_platform.transforms.parse.cleaning import Cleaning, is_blank
from sessions_platform.transforms.parse.decoding import Undecodable
from sessions_platform.transforms.parse.paths import TEXT_OF, value_at
from sessions_platform.transforms.parse.unstorable import broken_text_rule, may_contain_unstorable, texts_in
from sessions_platform.transforms.schema_drift import RowSignature, row_signatures
from sessions_platform.transforms.stretches import ROWS
from sessions_platform.transforms.text import storable

# A log that is truncated in place while its writer is at an offset (logrotate's `copytruncate`, without O_APPEND) goes
# on behind a hole, which reads as NULs before a whole line. `vectorized` leaves rows with NULs out.
_HOLE = b"\0"


def parse_rows(raw: pl.DataFrame, stream: Stream) -> tuple[pl.DataFrame, list[RowSignature]]:
    """Parse all rows, one by one.

    Args:
        raw: payload (Binary), header (Binary), corrupt_reason (String).
        stream: its columns, `extra_columns` and source options.

    Returns:
        In the order of the rows the stream's columns (String), properties (String) and parse_errors (``REASONS``), as
        ``parse.parse`` describes them; and the signatures of the rows.
    """
    rows = _read(raw, stream)
    columns = [_column(rows, name, column, Cleaning.of(stream, name)) for name, column in stream.columns.items()]
    return pl.DataFrame([*columns, _properties(rows, stream), rows.parse_errors()]), row_signatures(rows.fields, stream)


def repeated_signatures(raw: pl.DataFrame, stream: Stream) -> list[RowSignature]:
    """The signatures of the rows that are not in the block themselves, because others stand for them (``ROWS``)."""
    numbers = (raw[ROWS] > 1).arg_true()
    if not len(numbers):
        return []
    rows = _read(raw[numbers], stream)
    return [
        RowSignature(fields, number, raw[ROWS][number] - 1)
        for number, fields in zip(numbers, rows.fields, strict=True)
        if fields
    ]


@dataclass
class _Rows:
    """Each row's fields, and the reasons for which it is rejected. A malformed or unreadable row has no fields.

    `envelopes` are the fields around them, for a stream that has columns of these; none for any other. `suspects` are
    the only rows that may contain text that can't be stored.
    """

    fields: list[Fields] = field(default_factory=list)
    envelopes: list[Fields] = field(default_factory=list)
    suspects: list[int] = field(default_factory=list)
    reasons: list[tuple[int, Reason]] = field(default_factory=list)

    def reject(self, row: int, code: Code, column: str, rule: str, value: Any = None) -> None:
        """Add a reason to a row; the value is shown as JSON, shortened."""
        shown = None if value is None else storable(_shown(value))[:VALUE_SHOWN]
        self.reasons.append((row, Reason(code, storable(column), rule, shown)))

    def parse_errors(self) -> pl.Series:
        if not self.reasons:
            return no_parse_errors(len(self.fields))
        parts = {part: [getattr(reason, part) for _, reason in self.reasons] for part in REASON.to_schema()}
        reasons = pl.DataFrame(parts, schema=REASON.to_schema())
        rows = pl.Series("row", [row for row, _ in self.reasons], dtype=pl.Int64)
        parse_errors = reasons.group_by(rows, maintain_order=True).agg(parse_errors=pl.struct(reasons.columns))
        every = pl.select(row=pl.int_range(len(self.fields), dtype=pl.Int64))
        return every.join(parse_errors, on="row", how="left", maintain_order="left")["parse_errors"].fill_null([])


@lru_cache(maxsize=8)  # slow to make, and the same few lengths recur
def no_parse_errors(rows: int) -> pl.Series:
    """The column parse_errors (``REASONS``) of rows that have none."""
    return pl.Series("parse_errors", [[]], dtype=REASONS).new_from_index(0, rows)


def _read(raw: pl.DataFrame, stream: Stream) -> _Rows:
    rows = _decoded(raw, open_format(stream.source).decoder(), has_nested_text=stream.source.has_nested_text)
    if has_envelope_paths(stream):
        _add_envelopes(rows, raw["header"], stream)
    return rows


def _decoded(raw: pl.DataFrame, decode: Decoder, *, has_nested_text: bool) -> _Rows:
    """The rows' fields. What can't be stored isn't seen in a payload that spells it twice, as nested text does."""
    rows = _Rows()
    intact = raw.filter(pl.col("corrupt_reason").is_null())
    payloads = [payload.lstrip(_HOLE) for payload in intact["payload"].to_list()]
    decoded = iter(decode_all(decode, payloads, intact["header"].to_list()))
    columns = [raw[name].to_list() for name in ("payload", "corrupt_reason")]
    for row, (payload, corrupt_reason) in enumerate(zip(*columns, strict=True)):
        rows.fields.append({})
        if corrupt_reason is not None:
            rows.reject(row, Code.unreadable_file, "", corrupt_reason)
            continue
        fields = next(decoded)
        if isinstance(fields, MalformedError):
            rows.reject(row, Code.malformed, "", str(fields))
        else:
            rows.fields[row] = fields
        if has_nested_text or may_contain_unstorable(payload):
            rows.suspects.append(row)
    return rows


def _shown(value: Any) -> str:
    """A value as JSON. Numbers inside of lists and objects are shown as doubles."""
    return json.dumps(value, ensure_ascii=False, default=lambda number: float(spelling(number)))


def has_envelope_paths(stream: Stream) -> bool:
    """Whether any column is read from the envelope."""
    return any(path.startswith(ENVELOPE) for name, column in stream.columns.items() for path in column.paths(name))


def _add_envelopes(rows: _Rows, headers: pl.Series, stream: Stream) -> None:
    """Add the envelope of each row. A row that is valid, but whose envelope isn't, is malformed."""
    decode = envelope_decoder(stream.source)
    for row, header in enumerate(headers):
        rows.envelopes.append({})
        if header is None or not rows.fields[row]:
            continue
        try:
            rows.envelopes[row] = decode(header)
        except MalformedError as broken:
            rows.fields[row] = {}
            rows.reject(row, Code.malformed, "", str(broken))
        if may_contain_unstorable(header):
            rows.suspects.append(row)


# Columns -------------------------------------------------------------------------------------------------


def _column(rows: _Rows, name: str, column: Column, cleaning: Cleaning) -> pl.Series:
    by_path = [_cleaned(_values(rows, path), cleaning) for path in column.paths(name)]
    values: list[Any] = (
        list(map(_joined, zip(*by_path, strict=True))) if column.join else _first_not_null(by_path, len(rows.fields))
    )
    if column.default is not None:
        values = [column.default if value is None else value for value in values]
    types = set(map(type, values))
    if Undecodable in types:
        _reject_undecodable(rows, name, values)
    if types & {dict, list}:
        _reject_containers(rows, name, column, values)
    if column.type is ColumnType.timestamp and msgspec.Raw in types:
        values = list(map(_without_exponent, values))
    if not types <= {str, NoneType}:
        values = [TEXT_OF[type(value)](value) for value in values]
    # Text within text may be escaped so that the payload does not show it.
    suspects = range(len(values)) if any(map(reads_json, column.paths(name))) else rows.suspects
    for row in suspects:
        if values[row] is not None and (rule := broken_text_rule(values[row])):
            rows.reject(row, Code.bad_text, name, rule, values[row])
            values[row] = None
    return pl.Series(name, values, dtype=pl.String)


def _reject_undecodable(rows: _Rows, name: str, values: list[Any]) -> None:
    for row, value in enumerate(values):
        if isinstance(value, Undecodable):
            rows.reject(row, value.code, name, value.rule, value.text)
            values[row] = None


def _without_exponent(value: Any) -> Any:
    """A number with an exponent as a double, for no format of a timestamp has one."""
    return float(spelling(value)) if type(value) is msgspec.Raw and b"e" in bytes(value).lower() else value


def _values(rows: _Rows, path: str) -> list[Any]:
    of_rows = rows.fields
    if path.startswith(ENVELOPE):
        of_rows, path = rows.envelopes, path.removeprefix(ENVELOPE)
    steps = steps_of(path)
    if steps != (path,):
        return [value_at(fields, path, steps) for fields in of_rows]
    return [fields.get(path) for fields in of_rows]


def _cleaned(values: list[Any], cleaning: Cleaning) -> list[Any]:
    """The values with their texts cleaned. A number is one, too: it is its text that `nulls` lists."""
    if cleaning.nulls or cleaning.rewrites:
        texts = [TEXT_OF[type(value)](value) for value in values]
        cleaned = cleaning.values(texts)
        return [value if text is None else clean for value, text, clean in zip(values, texts, cleaned, strict=True)]
    return [None if type(value) is str and is_blank(value) else value for value in values]


def _first_not_null(by_path: list[list[Any]], height: int) -> list[Any]:
    values = by_path[0] if by_path else [None] * height
    for fallback in by_path[1:]:
        values = [other if value is None else value for value, other in zip(values, fallback, strict=True)]
    return values


def _joined(parts: tuple[Any, ...]) -> Any:
    """The parts joined by a space. None if any of them is; one of them that is no text is returned, to be rejected."""
    if any(part is None for part in parts):
        return None
    container = next((part for part in parts if isinstance(part, dict | list | Undecodable)), None)
    return " ".join(TEXT_OF[type(part)](part) for part in parts) if container is None else container


def _reject_containers(rows: _Rows, name: str, column: Column, values: list[Any]) -> None:
    for row, value in enumerate(values):
        if isinstance(value, dict | list):
            rows.reject(row, Code.wrong_type, name, f"{JSON_NAMES[type(value)]} is no {column.type}", value)


# Fields that no column names -----------------------------------------------------------------------------

# Paths as nested keys. The key at which a path ends has an empty tree.
Tree = dict[str, "Tree"]


def _properties(rows: _Rows, stream: Stream) -> pl.Series:
    texts: list[str | None] = [None] * len(rows.fields)
    if stream.extra_columns != "drop":
        suspects = set(rows.suspects)
        for row, extras in _extras(rows.fields, stream):
            if stream.extra_columns == "reject":
                _reject_extras(rows, row, extras)
            elif row in suspects and (bad := next(filter(broken_text_rule, texts_in(extras)), None)) is not None:
                rows.reject(row, Code.bad_text, "properties", f"{broken_text_rule(bad)}", bad)
            else:
                texts[row] = msgspec.json.encode(extras).decode()
    return pl.Series("properties", texts, dtype=pl.String)


def _extras(rows: list[Fields], stream: Stream) -> Iterator[tuple[int, Fields]]:
    named_in = paths_of(stream)
    for row, fields in enumerate(rows):
        named = named_in(fields)
        if named is not None and (extras := unnamed(fields, named)):
            yield row, extras


def paths_of(stream: Stream) -> Callable[[Fields], Tree | None]:
    """A function from a row's fields to the tree of the paths that apply to them; to None if they name every field.

    A path that enters a list names one item of it. The list stays among the fields that no path names, unless these
    reject the row: then it is expected.
    """
    paths = {path for name, column in stream.columns.items() for path in column.fields(name)}
    may_be_literal = {path for path in paths if steps_of(path) != (path,)}
    names_lists = stream.extra_columns == "reject"
    tree = lru_cache(lambda literal: _tree(paths, literal, names_lists=names_lists))
    return lambda fields: None if fields.keys() <= paths else tree(frozenset(may_be_literal & fields.keys()))


def _tree(paths: Iterable[str], literal: frozenset[str], *, names_lists: bool) -> Tree:
    """The tree of all paths. The `literal` ones are keys themselves, and are not divided into steps.

    Longer paths are entered first, so that of two paths the one that names the whole object wins.
    """
    tree: Tree = {}
    split = {path for path in paths if path not in literal and (names_lists or not enters_value(path))}
    for *above, last in sorted([*map(names_of, split), *((path,) for path in literal)], reverse=True):
        below = tree
        for step in above:
            below = below.setdefault(step, {})
        below[last] = {}
    return tree


def unnamed(fields: Fields, named: Tree) -> Fields:
    """The fields that no path names, in their order, without those that are null."""
    extras: Fields = {}
    for key, value in fields.items():
        below = named.get(key)
        kept = None if below == {} else value
        if below and isinstance(value, dict):
            kept = unnamed(value, below) or None
        if kept is not None:
            extras[key] = kept
    return extras


def _reject_extras(rows: _Rows, row: int, extras: Fields) -> None:
    for key, value in extras.items():
        rows.reject(row, Code.unexpected_column, key, "no column of the stream names it", value)
