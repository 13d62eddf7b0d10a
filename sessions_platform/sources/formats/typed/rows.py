"""Rows as canonical JSON, the form in which they are stored, validated and replayed like any other.

One function for each kind of type says how its values are written, with nothing lost: what JSON can't represent
becomes text. Runs in the child process only (`worker`).
"""

import base64
import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice, repeat
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sessions_platform.contracts.typed_values import BYTES_PREFIX, json_number
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.typed.json_text import json_row

# The errors of the system that a corrupt file causes; others are an outage.
_ERRNOS_OF_CORRUPT_FILES = (None, errno.EINVAL, errno.EOVERFLOW)
_ERRORS_OF_PYARROW = (pa.ArrowException, OSError, ValueError, OverflowError)


@contextmanager
def corrupt_unless_outage(
    name: str, errors: type[Exception] | tuple[type[Exception], ...] = _ERRORS_OF_PYARROW
) -> Iterator[None]:
    """Raise CorruptDataError for a library's errors about a file of the format of this name; an outage stays one."""
    try:
        yield
    except CorruptDataError:
        raise
    except errors as error:
        if isinstance(error, MemoryError) or (
            isinstance(error, OSError) and error.errno not in _ERRNOS_OF_CORRUPT_FILES
        ):
            raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise CorruptDataError(f"the rest of the file is no {name} data: {reason}") from None


def json_rows(names: list[str], columns: Sequence[Any], height: int) -> list[bytes]:
    """The rows of these columns (Arrow arrays) as JSON; text is not checked to be UTF-8 here."""
    return [json_row(row) for row in _named(names, [json_values(column) for column in columns], height)]


def _named(names: list[str], columns: list[list[Any]], height: int) -> Iterator[dict[str, Any]]:
    rows = zip(*columns, strict=True) if columns else repeat((), height)
    return (dict(zip(names, row, strict=True)) for row in rows)


def distinct_names(names: list[str]) -> list[str]:
    """The names. Raises CorruptDataError where one of them occurs twice."""
    if repeated := {name for name in names if names.count(name) > 1}:
        raise CorruptDataError(f"the file names {min(repeated)!r} twice")
    return names


def json_values(array: Any) -> list[Any]:
    """A column's values as JSON can represent them, with nothing lost."""
    return next(values for matches, values in _JSON_VALUES if matches(array.type))(array)


def _each(write: Callable[[Any], Any], array: Any) -> list[Any]:
    return [None if value is None else write(value) for value in array.to_pylist()]


def _strings(array: Any) -> list[str | None]:
    """Bytes that are not UTF-8 become lone surrogates, which `transforms.parse` finds and reports."""
    try:
        return array.to_pylist()
    except UnicodeDecodeError:
        return _each(lambda value: value.decode(errors="surrogateescape"), array.cast(pa.binary()))


def _timestamps(array: Any) -> list[str | None]:
    """ISO 8601, as exact as in the file; in UTC where the type has a timezone."""
    kind = array.type
    naive = array.cast(pa.int64()).cast(pa.timestamp(kind.unit)) if pa.types.is_timestamp(kind) else array
    offset = "+00:00" if pa.types.is_timestamp(kind) and kind.tz else ""
    return _each(lambda text: _iso(text, offset), naive.cast(pa.string()))


def _iso(text: str, offset: str) -> str:
    """From pyarrow's text, which is "<value out of range: 123>" for a time that no calendar has."""
    if text.startswith("<"):
        return text
    seconds, _, fraction = text.replace(" ", "T").partition(".")
    fraction = fraction.rstrip("0")
    return f"{seconds}.{fraction}{offset}" if fraction else f"{seconds}{offset}"


def _structs(array: Any) -> list[dict[str, Any] | None]:
    names = distinct_names([field.name for field in array.type])
    fields = [json_values(field) for field in array.flatten()]
    rows = _named(names, fields, len(array))
    return [row if is_valid else None for row, is_valid in zip(rows, array.is_valid().to_pylist(), strict=True)]


def _lists(array: Any) -> list[list[Any] | None]:
    lengths = pc.list_value_length(array).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
    values = iter(json_values(array.flatten()))
    return [None if length is None else list(islice(values, length)) for length in lengths]


def _maps(array: Any) -> list[Any]:
    """An object where the keys are text and distinct, else a list of entries."""
    entry = pa.struct([pa.field("key", array.type.key_type), pa.field("value", array.type.item_type)])
    return [_map(entries) for entries in _lists(array.cast(pa.list_(entry)))]


def _map(entries: list[dict[str, Any]] | None) -> Any:
    named = {entry["key"]: entry["value"] for entry in entries or [] if isinstance(entry["key"], str)}
    return named if entries is not None and len(named) == len(entries) else entries


def _extensions(array: Any) -> list[Any]:
    return _each(str, array) if isinstance(array.type, pa.UuidType) else json_values(array.storage)


def _one_of(*tests: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    return lambda kind: any(test(kind) for test in tests)


_Kind = pa.types
_JSON_VALUES: list[tuple[Callable[[pa.DataType], bool], Callable[[Any], list[Any]]]] = [
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extensions),
    (_Kind.is_dictionary, lambda array: json_values(array.dictionary_decode())),
    (_Kind.is_struct, _structs),
    (_Kind.is_map, _maps),
    (_one_of(_Kind.is_list, _Kind.is_large_list, _Kind.is_fixed_size_list), _lists),
    (_one_of(_Kind.is_timestamp, _Kind.is_date, _Kind.is_time), _timestamps),
    (_Kind.is_floating, lambda array: _each(json_number, array)),
    (_Kind.is_decimal, lambda array: _each(lambda value: format(value, "f"), array)),
    (_one_of(_Kind.is_string, _Kind.is_large_string, _Kind.is_string_view), _strings),
    (_one_of(_Kind.is_boolean, _Kind.is_integer, _Kind.is_null), lambda array: array.to_pylist()),
    (
        _one_of(_Kind.is_binary, _Kind.is_large_binary, _Kind.is_binary_view, _Kind.is_fixed_size_binary),
        lambda array: _each(lambda value: BYTES_PREFIX + base64.b64encode(value).decode(), array),
    ),
    (lambda _: True, lambda array: array.cast(pa.string()).to_pylist()),
]
