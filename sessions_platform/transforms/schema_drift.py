"""Which fields rows have, and how that differs from the contract and from the partition before.

A field is told by its path. Objects are entered only where a column's path goes down into
them; any other object is one field, so that one whose keys are data stays one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import NoneType
from typing import Any

from sessions_platform.contracts.columns import Column, ColumnType
from sessions_platform.contracts.formats import FORMATS
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.timestamps import EPOCHS
from sessions_platform.transforms.text import storable

# How many fields a shape holds at most. Beyond, field names are data.
MOST_FIELDS = 1000
# A type that fewer of a field's values have is a matter of those rows, and no drift.
RETYPED_FROM = 0.01

Types = Mapping[str, int]

_NAMES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
    NoneType: "null",
}
_VALUES = {"string", "boolean", "integer", "number"}
_FITTING = {
    ColumnType.string: {"string"},
    ColumnType.integer: {"integer"},
    ColumnType.float: {"integer", "number"},
    ColumnType.boolean: {"boolean"},
}


@dataclass(frozen=True)
class ObservedSchema:
    """The rows that have fields at all, and for each field in how many of them it has which JSON type."""

    rows: int
    fields: Mapping[str, Types]

    def __add__(self, other: "ObservedSchema") -> "ObservedSchema":
        fields = {path: Counter(types) for path, types in self.fields.items()}
        for path, types in other.fields.items():
            if path in fields or len(fields) < MOST_FIELDS:
                fields.setdefault(path, Counter()).update(types)
        return ObservedSchema(self.rows + other.rows, fields)


NOTHING_OBSERVED = ObservedSchema(0, {})


class DriftKind(StrEnum):
    new = "new"  # no column names the field, and the partition before did not have it
    missing = "missing"  # a column names it, no row has it, and the partition before had it, or there is none
    retyped = "retyped"  # its values have another type than its column's and than in the partition before


@dataclass(frozen=True)
class Drift:
    """One field that is not what it was, or should be; in `rows` of `of` rows."""

    kind: DriftKind
    field: str
    types: str
    rows: int
    of: int


def observed_schema(rows: Iterable[Mapping[str, Any]], stream: Stream) -> ObservedSchema:
    """The shape of decoded rows."""
    return observed_schema_of(row_signatures(rows, stream), stream)


@dataclass(frozen=True)
class RowSignature:
    """Rows that have the same fields, in the same order, of the same types. `first` is where they begin."""

    example: Mapping[str, Any]
    first: int
    rows: int


def row_signatures(rows: Iterable[Mapping[str, Any]], stream: Stream) -> list[RowSignature]:
    """Most rows are alike, so that each kind of row has to be looked at once only. Rows without fields are of none."""
    entered = entered_objects(stream)
    kinds: dict[tuple[Any, ...], list[int]] = {}
    examples: list[Mapping[str, Any]] = []
    for row, fields in enumerate(rows):
        if not fields:
            continue
        kind = (*fields, *map(type, fields.values()))
        if entered:
            kind += _inner(fields, entered)
        seen = kinds.get(kind)
        if seen is None:
            kinds[kind] = [row, 1]
            examples.append(fields)
        else:
            seen[1] += 1
    return [RowSignature(example, *seen) for example, seen in zip(examples, kinds.values(), strict=True)]


def observed_schema_of(kinds: Iterable[RowSignature], stream: Stream) -> ObservedSchema:
    """The shape of rows of these kinds. Some of them may be the same."""
    entered = entered_objects(stream)
    found: dict[str, Counter[str]] = {}
    rows = 0
    for kind in sorted(kinds, key=lambda kind: kind.first):
        rows += kind.rows
        for path, name in _types(kind.example, entered):
            if path in found or len(found) < MOST_FIELDS:
                found.setdefault(path, Counter())[name] += kind.rows
    return ObservedSchema(rows, found)


def drift(observed: ObservedSchema, before: ObservedSchema, stream: Stream) -> list[Drift]:
    """How a shape differs from the contract, and from the shape before, if there was one. Empty ones tell nothing."""
    if not observed.rows:
        return []
    return [*_new(observed, before, stream), *_missing(observed, before, stream), *_retyped(observed, before, stream)]


def _new(observed: ObservedSchema, before: ObservedSchema, stream: Stream) -> Iterator[Drift]:
    named = {path for paths in _paths(stream).values() for path in paths}
    inner = {path.rpartition(".")[0] for path in named}
    for path, types in sorted(observed.fields.items()):
        if before.rows and path not in before.fields and path not in named and path not in inner:
            yield Drift(DriftKind.new, path, _told(types), sum(types.values()), observed.rows)


def _missing(observed: ObservedSchema, before: ObservedSchema, stream: Stream) -> Iterator[Drift]:
    """Gone since the partition before; in the first one, of several paths of a column one has to be there."""
    for paths in _paths(stream).values():
        absent = [path for path in paths if path not in observed.fields]
        for path in absent:
            if path in before.fields or (len(absent) == len(paths) and not before.rows):
                yield Drift(DriftKind.missing, path, "", 0, observed.rows)


def _retyped(observed: ObservedSchema, before: ObservedSchema, stream: Stream) -> Iterator[Drift]:
    if FORMATS[stream.source.format].is_untyped:
        return
    for name, paths in _paths(stream).items():
        column = stream.columns[name]
        for path in (path for path in paths if path in observed.fields):
            types, known = observed.fields[path], before.fields.get(path)
            strange = {kind: rows for kind, rows in types.items() if kind not in _expected(column, known)}
            rows, values = sum(strange.values()), sum(types.values()) - types.get("null", 0)
            if rows and rows >= RETYPED_FROM * values:
                yield Drift(DriftKind.retyped, path, _told(strange), rows, values)


def _expected(column: Column, known: Types | None) -> set[str]:
    """The types that surprise nobody. At first any value may be text: ids are often numbers."""
    if column.type is ColumnType.timestamp:
        epochs = {fmt in EPOCHS for fmt in column.formats or []}
        fitting = ({"integer", "number"} if True in epochs else set()) | ({"string"} if False in epochs else set())
    else:
        fitting = _VALUES if column.type is ColumnType.string and not known else _FITTING[column.type]
    return fitting | {"null"} | set(known or ())


def _told(types: Types) -> str:
    return ", ".join(sorted(types, key=lambda name: (-types[name], name)))


# Fields --------------------------------------------------------------------------------------------------


def _paths(stream: Stream) -> dict[str, list[str]]:
    return {name: column.paths(name) for name, column in stream.columns.items()}


# The objects that columns go down into: by the path above, the keys there and what they lead to.
Entered = Mapping[str, "Entered"]


def entered_objects(stream: Stream) -> Entered:
    tree: dict[str, Any] = {}
    for path in (path for several in _paths(stream).values() for path in several):
        below = tree
        for step in path.split(".")[:-1]:
            below = below.setdefault(step, {})
    return tree


def _inner(fields: Mapping[str, Any], entered: Entered) -> tuple[Any, ...]:
    """The names and types in the objects that columns go down into."""
    kinds: list[Any] = []
    for key, below in entered.items():
        value = fields.get(key)
        if type(value) is dict:
            kinds += (key, *value, *map(type, value.values()), _inner(value, below))
    return tuple(kinds)


def _types(fields: Mapping[str, Any], entered: Entered, above: str = "") -> Iterator[tuple[str, str]]:
    """Each field's path and the type of its value."""
    for key, value in fields.items():
        yield storable(f"{above}{key}"), _NAMES[type(value)]
        if key in entered and type(value) is dict:
            yield from _types(value, entered[key], f"{above}{key}.")
