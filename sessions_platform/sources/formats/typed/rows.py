"""Parquet rows as canonical JSON, the form in which they are stored, validated and replayed like any other.

One function for each kind of type says how its values are written, with nothing lost: what JSON can't represent
becomes text. Runs in the child process only (`worker`).
"""

import base64
import errno
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, repeat
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sessions_platform.contracts.typed_values import BYTES_PREFIX
from sessions_platform.sources.formats.errors import CorruptDataError

_BUFFER_BYTES = 1024 * 1024
# The errors of the system that a corrupt file causes; others are an outage.
_ERRNOS_OF_CORRUPT_FILES = (None, errno.EINVAL, errno.EOVERFLOW)


def parquet_rows(handle: BinaryIO, block_bytes: int, block_rows: int) -> Iterator[list[bytes]]:
    """The rows of a Parquet file, each a JSON object in UTF-8 with its columns in the file's order.

    By pyarrow, which raises an exception for most corrupt files; polars aborts the process.

    Args:
        handle: the open file.
        block_bytes: about how large a block is in the file, decompressed.
        block_rows: how many rows a block has at most.

    Raises:
        CorruptDataError: the rest of the file can't be read; the row groups before it were returned.
        MemoryError: a block takes more than the process may have.
        OSError: an outage.
    """
    with corrupt_unless_outage("Parquet"):
        file = pq.ParquetFile(
            handle,
            pre_buffer=False,
            buffer_size=_BUFFER_BYTES,  # else the whole column of a row group is read at once
            page_checksum_verification=True,
            coerce_int96_timestamp_unit="us",  # nanoseconds would wrap around outside of 1677 to 2262
        )
        batch_size = min(_rows_per_block(file.metadata, block_bytes), block_rows)
        types = _meant_types(file)
        for group in range(file.num_row_groups):  # one by one: what breaks one leaves those before it
            for batch in file.iter_batches(batch_size, row_groups=[group]):
                yield json_rows(batch, types)


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


def _rows_per_block(metadata: Any, block_bytes: int) -> int:
    sizes = (metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    bytes_per_row = max(1, sum(sizes) // max(1, metadata.num_rows))
    return max(1, block_bytes // bytes_per_row)


def _meant_types(file: pq.ParquetFile) -> list[pa.DataType]:
    """The types of the file's columns as their writers mean them, where pyarrow reads them as others.

    A time of the physical type INT96 has no zone in the file; Spark, Hive and Impala write UTC. An enumeration is
    text in UTF-8 (parquet-format, "LogicalTypes", ENUM), not bytes.
    """
    leaves = [_meant_type(file.schema.column(number)) for number in range(len(file.schema))]
    if not any(leaves):
        return file.schema_arrow.types
    of_leaves = iter(leaves)
    return [_with_leaves(kind, of_leaves) for kind in file.schema_arrow.types]


def _meant_type(leaf: pq.ColumnSchema) -> pa.DataType | None:
    """None where pyarrow's own is meant."""
    if leaf.physical_type == "INT96":
        return pa.timestamp("us", "UTC")
    return pa.string() if leaf.logical_type.type == "ENUM" else None


def _with_leaves(kind: pa.DataType, leaves: Iterator[pa.DataType | None]) -> pa.DataType:
    """The type with other types of its leaves, of which None leaves one as it is; `leaves` are in the file's order."""
    if isinstance(kind, pa.BaseExtensionType):
        _with_leaves(kind.storage_type, leaves)
        return kind
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_with_leaves(field.type, leaves)) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_with_leaves(kind.key_type, leaves), _with_leaves(kind.item_type, leaves))
    if pa.types.is_list(kind):
        return pa.list_(_with_leaves(kind.value_type, leaves))
    return next(leaves) or kind


def json_rows(batch: pa.RecordBatch, types: list[pa.DataType]) -> list[bytes]:
    """The rows of a batch as JSON, its columns read as these types; text is not checked to be UTF-8 here."""
    names = _distinct_names(batch.schema.names)
    pairs = zip(batch.columns, types, strict=True)
    columns = [_json_values(column if column.type == kind else column.cast(kind, safe=False)) for column, kind in pairs]
    return [json_row(row) for row in _named(names, columns, batch.num_rows)]


def _named(names: list[str], columns: list[list[Any]], height: int) -> Iterator[dict[str, Any]]:
    rows = zip(*columns, strict=True) if columns else repeat((), height)
    return (dict(zip(names, row, strict=True)) for row in rows)


def _distinct_names(names: list[str]) -> list[str]:
    if repeated := {name for name in names if names.count(name) > 1}:
        raise CorruptDataError(f"the file names {min(repeated)!r} twice")
    return names


def json_row(row: dict[str, Any]) -> bytes:
    """A row as a JSON object, in ASCII where a text has lone surrogates."""
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        return json.dumps(row, separators=(",", ":")).encode()


def _json_values(array: Any) -> list[Any]:
    """A column's values as JSON can represent them, with nothing lost."""
    return next(values for matches, values in _JSON_VALUES if matches(array.type))(array)


def _each(write: Callable[[Any], Any], array: Any) -> list[Any]:
    return [None if value is None else write(value) for value in array.to_pylist()]


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


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
    names = _distinct_names([field.name for field in array.type])
    fields = [_json_values(field) for field in array.flatten()]
    rows = _named(names, fields, len(array))
    return [row if is_valid else None for row, is_valid in zip(rows, array.is_valid().to_pylist(), strict=True)]


def _lists(array: Any) -> list[list[Any] | None]:
    lengths = pc.list_value_length(array).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
    values = iter(_json_values(array.flatten()))
    return [None if length is None else list(islice(values, length)) for length in lengths]


def _maps(array: Any) -> list[Any]:
    """An object where the keys are text and distinct, else a list of entries."""
    entry = pa.struct([pa.field("key", array.type.key_type), pa.field("value", array.type.item_type)])
    return [_map(entries) for entries in _lists(array.cast(pa.list_(entry)))]


def _map(entries: list[dict[str, Any]] | None) -> Any:
    named = {entry["key"]: entry["value"] for entry in entries or [] if isinstance(entry["key"], str)}
    return named if entries is not None and len(named) == len(entries) else entries


def _extensions(array: Any) -> list[Any]:
    return _each(str, array) if isinstance(array.type, pa.UuidType) else _json_values(array.storage)


def _one_of(*tests: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    return lambda kind: any(test(kind) for test in tests)


_Kind = pa.types
_JSON_VALUES: list[tuple[Callable[[pa.DataType], bool], Callable[[Any], list[Any]]]] = [
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extensions),
    (_Kind.is_dictionary, lambda array: _json_values(array.dictionary_decode())),
    (_Kind.is_struct, _structs),
    (_Kind.is_map, _maps),
    (_one_of(_Kind.is_list, _Kind.is_large_list, _Kind.is_fixed_size_list), _lists),
    (_one_of(_Kind.is_timestamp, _Kind.is_date, _Kind.is_time), _timestamps),
    (_Kind.is_floating, lambda array: _each(_float, array)),
    (_Kind.is_decimal, lambda array: _each(lambda value: format(value, "f"), array)),
    (_one_of(_Kind.is_string, _Kind.is_large_string, _Kind.is_string_view), _strings),
    (_one_of(_Kind.is_boolean, _Kind.is_integer, _Kind.is_null), lambda array: array.to_pylist()),
    (
        _one_of(_Kind.is_binary, _Kind.is_large_binary, _Kind.is_binary_view, _Kind.is_fixed_size_binary),
        lambda array: _each(lambda value: BYTES_PREFIX + base64.b64encode(value).decode(), array),
    ),
    (lambda _: True, lambda array: array.cast(pa.string()).to_pylist()),
]
