"""The observed schema of rows, and how it drifts from the contract and from the partition before.

Here: which fields rows have and of which JSON types, counted (``ObservedSchema``), and the comparison of two such
counts (``drift``). Decoding rows is in ``sources.formats`` and ``transforms.parse``; who compares which partitions, and
what is reported, is in ``pipeline.validate`` and ``orchestration``.

A field is identified by its path. Only objects that a column's path leads into are descended into (the *entered*
objects); any other object is one field, so that an object whose keys are data remains one field.

Rows are counted by signature: the names of the fields, in their order, with the Python types of their values. Most
rows of a partition have one of a few signatures, so only one example of each has to be looked at.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import NoneType
from typing import Any

import msgspec

from sessions_platform.contracts.columns import Column, ColumnType
from sessions_platform.contracts.field_paths import enters_value, field_of, names_of
from sessions_platform.contracts.formats import FORMATS
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.timestamps import EPOCHS
from sessions_platform.transforms.text import storable

# The most fields that are counted. If there are more, then keys are data.
MOST_FIELDS = 1000
# The share of a field's values that have to be of unexpected types to be drift. Fewer are a matter of those rows.
RETYPED_FROM = 0.01

Types = Mapping[str, int]

_NAMES: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    msgspec.Raw: "number",  # its spelling
    dict: "object",
    list: "array",
    NoneType: "null",
}
_VALUES = {"string", "boolean", "integer", "number"}
_EXPECTED = {
    ColumnType.string: {"string"},
    ColumnType.integer: {"integer"},
    ColumnType.float: {"integer", "number"},
    ColumnType.boolean: {"boolean"},
}


@dataclass(frozen=True)
class ObservedSchema:
    """The number of rows that have fields at all, and for each field (by path) its rows by JSON type.

    Types are "string", "boolean", "integer", "number", "object", "array" and "null". Those of several blocks are added.
    `files` says which file was the first to have a field with a type. It is known while rows are read, and not stored.
    """

    rows: int
    fields: Mapping[str, Types]
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict, compare=False)

    def __add__(self, other: "ObservedSchema") -> "ObservedSchema":
        fields = {path: Counter(types) for path, types in self.fields.items()}
        for path, types in other.fields.items():
            if path in fields or len(fields) < MOST_FIELDS:
                fields.setdefault(path, Counter()).update(types)
        files = {path: {**other.files.get(path, {}), **self.files.get(path, {})} for path in fields}
        return ObservedSchema(self.rows + other.rows, fields, files)


NOTHING_OBSERVED = ObservedSchema(0, {})


class DriftKind(StrEnum):
    new = "new"  # no column names the field, and the partition before did not have it
    missing = "missing"  # a column names it, no row has it, and the partition before had it, or there is none
    retyped = "retyped"  # its values have another type than its column's and than in the partition before


@dataclass(frozen=True)
class Drift:
    """One field that differs from the contract and from the partition before.

    `types` are its types, most frequent first, separated by commas; for a retyped field only the unexpected
    ones; a missing field and a new one that differ in upper and lower case only name each other.
    `rows` have it so, of `of` rows; for a retyped field of its non-null values. `file` is the first that has the first
    of these types; "" where none has the field, or where it isn't known.
    """

    kind: DriftKind
    field: str
    types: str
    rows: int
    of: int
    file: str = ""


@dataclass(frozen=True)
class RowSignature:
    """Rows that have the same fields, in the same order, of the same types.

    `example` is one of them, decoded; `first` the number of the first of them; `rows` how many there are; `file` the
    source_uri of the first, "" where it isn't known.
    """

    example: Mapping[str, Any]
    first: int
    rows: int
    file: str = ""


def row_signatures(rows: Iterable[Mapping[str, Any]], stream: Stream) -> list[RowSignature]:
    """The signatures of decoded rows, each once, by first row. Rows without fields have none."""
    entered = entered_objects(stream)
    counts: dict[tuple[Any, ...], list[int]] = {}
    examples: list[Mapping[str, Any]] = []
    for row, fields in enumerate(rows):
        if not fields:
            continue
        signature = (*fields, *map(type, fields.values()))
        if entered:
            signature += _signature_within(fields, entered)
        first_and_rows = counts.get(signature)
        if first_and_rows is None:
            counts[signature] = [row, 1]
            examples.append(fields)
        else:
            first_and_rows[1] += 1
    return [
        RowSignature(example, first, rows) for example, (first, rows) in zip(examples, counts.values(), strict=True)
    ]


def observed_schema_of(signatures: Iterable[RowSignature], stream: Stream) -> ObservedSchema:
    """The observed schema of the rows that signatures stand for. Signatures may be repeated, and in any order.

    Fields are in the order in which the rows have them first, so that ``MOST_FIELDS`` keeps the same ones always.
    """
    entered = entered_objects(stream)
    fields: dict[str, Counter[str]] = {}
    files: dict[str, dict[str, str]] = {}
    rows = 0
    for signature in sorted(signatures, key=lambda signature: signature.first):
        rows += signature.rows
        for path, name in _types(signature.example, entered):
            if path in fields or len(fields) < MOST_FIELDS:
                fields.setdefault(path, Counter())[name] += signature.rows
                files.setdefault(path, {}).setdefault(name, signature.file)
    return ObservedSchema(rows, fields, files)


def drift(observed: ObservedSchema, before: ObservedSchema, stream: Stream) -> list[Drift]:
    """The fields that are new, missing or retyped.

    Args:
        observed: of a landing partition. If it has no rows, nothing drifts.
        before: of the partition before; without rows if there is none.
        stream: the contract.

    Returns:
        New fields by path, then missing and retyped ones, each in the order of the columns.
    """
    if not observed.rows:
        return []
    return [*_new(observed, before, stream), *_missing(observed, before, stream), *_retyped(observed, before, stream)]


def _new(observed: ObservedSchema, before: ObservedSchema, stream: Stream) -> Iterator[Drift]:
    named = {path for paths in _paths(stream).values() for path in paths}
    columns = stream.columns.items()
    inner = {".".join(names_of(path)[:-1]) for name, column in columns for path in column.fields(name)}
    for path, types in sorted(observed.fields.items()):
        if before.rows and path not in before.fields and path not in named and path not in inner:
            read = _in_another_case(path, sorted(named))
            shown = _listed(types) + (f", a column reads {read}" if read else "")
            yield Drift(DriftKind.new, path, shown, sum(types.values()), observed.rows, _file(observed, path))


def _missing(observed: ObservedSchema, before: ObservedSchema, stream: Stream) -> Iterator[Drift]:
    """Fields that the partition before had. Without one, columns of which no path leads to a field."""
    for paths in _paths(stream).values():
        absent = [path for path in paths if path not in observed.fields]
        for path in absent:
            if path in before.fields or (len(absent) == len(paths) and not before.rows):
                other = _in_another_case(path, observed.fields)
                shown, file = (f"the file has {other}", _file(observed, other)) if other else ("", "")
                yield Drift(DriftKind.missing, path, shown, 0, observed.rows, file)


def _in_another_case(path: str, fields: Iterable[str]) -> str | None:
    """The first of the fields that differs in upper and lower case only, as names do not in SQL."""
    return next((field for field in fields if field.casefold() == path.casefold()), None)


def _file(observed: ObservedSchema, path: str, types: Types | None = None) -> str:
    """The first file that has the field with the most frequent one of these types; None for all that there are."""
    return observed.files.get(path, {}).get(_by_frequency(types or observed.fields[path])[0], "")


def _retyped(observed: ObservedSchema, before: ObservedSchema, stream: Stream) -> Iterator[Drift]:
    for column_name, paths in _paths(stream).items():
        column = stream.columns[column_name]
        lists = {field_of(path) for path in column.fields(column_name) if enters_value(path)}
        typed = (path for path in paths if path not in lists and not _is_untyped(stream, path))
        for path in (path for path in typed if path in observed.fields):
            types, known = observed.fields[path], before.fields.get(path)
            unexpected = {name: rows for name, rows in types.items() if name not in _expected(column, known)}
            rows, values = sum(unexpected.values()), sum(types.values()) - types.get("null", 0)
            if rows and rows >= RETYPED_FROM * values:
                file = _file(observed, path, unexpected)
                yield Drift(DriftKind.retyped, path, _listed(unexpected), rows, values, file)


def _is_untyped(stream: Stream, path: str) -> bool:
    """Whether all values at a path are text, whatever they mean."""
    nested = stream.source.parse
    is_nested = nested is not None and path.startswith(f"{field_of(nested.field)}.")
    return FORMATS[nested.format if nested and is_nested else stream.source.format].is_untyped


def _expected(column: Column, known: Types | None) -> set[str]:
    """The types that are no drift: the column's, and those of the partition before.

    Without a partition before, a string column may have values of any scalar type: ids are often numbers.
    """
    if column.type is ColumnType.timestamp:
        epochs = {fmt in EPOCHS for fmt in column.formats or []}
        expected = ({"integer", "number"} if True in epochs else set()) | ({"string"} if False in epochs else set())
    else:
        expected = _VALUES if column.type is ColumnType.string and not known else _EXPECTED[column.type]
    return expected | {"null"} | set(known or ())


def _listed(types: Types) -> str:
    return ", ".join(_by_frequency(types))


def _by_frequency(types: Types) -> list[str]:
    return sorted(types, key=lambda name: (-types[name], name))


# Fields --------------------------------------------------------------------------------------------------


def _paths(stream: Stream) -> dict[str, list[str]]:
    """The fields that each column's paths lead to, as ``ObservedSchema`` names them."""
    return {name: list(map(field_of, column.fields(name))) for name, column in stream.columns.items()}


# The keys of the objects that columns' paths lead into, nested as the objects are.
Entered = Mapping[str, "Entered"]


def entered_objects(stream: Stream) -> Entered:
    """The objects that the paths of the stream's columns lead into."""
    tree: dict[str, Any] = {}
    for path in (path for name, column in stream.columns.items() for path in column.fields(name)):
        below = tree
        for step in names_of(path)[:-1]:
            below = below.setdefault(step, {})
    return tree


def _signature_within(fields: Mapping[str, Any], entered: Entered) -> tuple[Any, ...]:
    """The names and types of the fields of entered objects."""
    signature: list[Any] = []
    for key, below in entered.items():
        value = fields.get(key)
        if type(value) is dict:
            signature += (key, *value, *map(type, value.values()), _signature_within(value, below))
    return tuple(signature)


def _types(fields: Mapping[str, Any], entered: Entered, above: str = "") -> Iterator[tuple[str, str]]:
    """Each field's path and the JSON type of its value; an entered object first, then its fields."""
    for key, value in fields.items():
        yield storable(f"{above}{key}"), _NAMES[type(value)]
        if key in entered and type(value) is dict:
            yield from _types(value, entered[key], f"{above}{key}.")
