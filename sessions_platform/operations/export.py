"""The result of a query written as CSV, as JSON or as Parquet, row by row, in memory that does not grow with its rows.

Here belong the formats. Not here: how a result is read (`storage/postgres/results.py`), tables for people
(`cli/tables.py`), and where the bytes go (`cli/query.py`).
"""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import StrEnum
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Protocol

from sessions_platform.errors import UserError
from sessions_platform.operations.json_text import json_of, printable_json
from sessions_platform.storage.postgres.results import Column, Result, Values

if TYPE_CHECKING:
    import pyarrow as pa

# What is loaded as a number or a Boolean; the rest is text.
_PLAIN = ("int2", "int4", "int8", "oid", "float4", "float8", "bool")
_ROWS_AT_ONCE = 1000
_ROWS_OF_A_ROW_GROUP = 65_536
_LINE_ENDS = re.compile(r"[\r\n]+")
_NEEDS_QUOTES = re.compile(r'[",\r\n]|^$|^\s|\s$')


class Sink(Protocol):
    """What bytes are written to: a file, or anything like one."""

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...


class Format(StrEnum):
    """How a result is written for programs."""

    csv = "csv"
    ndjson = "ndjson"
    json = "json"
    parquet = "parquet"

    @property
    def values(self) -> Values:
        """How the values are to be loaded for it."""
        return {"csv": Values.text, "parquet": Values.typed}.get(self.value, Values.json)


def write(result: Result, form: Format, file: Sink) -> None:
    """Write a result whose values are loaded as the format wants them; a statement without columns writes no CSV.

    Args:
        result: read to its end.
        form: CSV with a header, in UTF-8, an empty field for null and `""` for empty text; NDJSON with an object a
            line; one JSON array of objects; or Parquet.
        file: what is written to; it need not be seekable.

    Raises:
        UserError: Parquet has no such value; the message names the columns' types and says what to write.
    """
    if form is Format.parquet:
        _write_parquet(result, file)
        return
    lines = {Format.csv: csv_lines, Format.ndjson: ndjson_lines, Format.json: _json_pieces}[form](result)
    for some in _in_batches(lines, _ROWS_AT_ONCE):
        file.write("".join(some).encode())


def csv_lines(result: Result) -> Iterator[str]:
    """The header and a line for each row. Null is an empty field; empty text is `""`."""
    if not result.columns:
        return
    yield _csv_line([column.name for column in result.columns])
    for row in result.rows:
        yield _csv_line(row)


def ndjson_lines(result: Result) -> Iterator[str]:
    """A line with an object for each row."""
    for row in _json_objects(result):
        yield f"{row}\n"


def _json_pieces(result: Result) -> Iterator[str]:
    separator = "["
    for row in _json_objects(result):
        yield f"{separator}{row}"
        separator = ", "
    yield "]\n" if separator != "[" else "[]\n"


def _json_objects(result: Result) -> Iterator[str]:
    spelled = [(f"{encode_basestring(column.name)}: ", _json_of_type(column)) for column in result.columns]
    for row in result.rows:
        fields = [
            f"{name}{'null' if value is None else text_of(value)}"
            for (name, text_of), value in zip(spelled, row, strict=True)
        ]
        yield printable_json(f"{{{', '.join(fields)}}}")


def _json_of_type(column: Column) -> Callable[[Any], str]:
    """How a column's values are spelled; JSON stays as it is, so that no digit of its numbers is lost."""
    if column.is_array or column.type_name in _PLAIN:
        return json_of
    return _on_a_line if column.type_name in ("json", "jsonb") else encode_basestring


def _on_a_line(document: str) -> str:
    return _LINE_ENDS.sub(" ", document)  # JSON allows none within a text


def _csv_line(values: Any) -> str:
    return ",".join(["" if value is None else _csv_field(value) for value in values]) + "\n"


def _csv_field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _in_batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _write_parquet(result: Result, file: Sink) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    if not result.columns:
        raise UserError("The statement returns no columns, and Parquet needs some. Fix: write a select.")
    schema = pa.schema([(column.name, _arrow_type(column)) for column in result.columns])
    with parquet.ParquetWriter(pa.PythonFile(_Counted(file), mode="w"), schema, compression="zstd") as writer:
        for rows in _in_batches(result.rows, _ROWS_OF_A_ROW_GROUP):
            columns = zip(*rows, strict=True)
            arrays = [_array(column, values) for column, values in zip(result.columns, columns, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))


class _Counted:
    """A file that tells its position, also where it is a pipe."""

    closed = False

    def __init__(self, file: Sink) -> None:
        self._file = file
        self._position = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """The file stays open, for it is its owner's to close."""


def _array(column: Column, values: tuple[Any, ...]) -> "pa.Array":
    import pyarrow as pa

    form = _arrow_type(column)
    try:
        if pa.types.is_decimal(form):
            return pa.array([None if value is None else Decimal(value) for value in values], form)
        return pa.array(values, form)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        said = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"column {column.name}: Parquet's {form} has no such value: {said}. "
            f"Fix: write {column.name}::text, or leave such rows out."
        ) from None


def _arrow_type(column: Column) -> "pa.DataType":
    """The type in Arrow: PostgreSQL's own where there is one, else text."""
    import pyarrow as pa

    form = _arrow_types().get(column.type_name, pa.string())
    if column.type_name == "numeric" and not column.is_array and column.modifier >= 0:
        form = _decimal(column.modifier)
    return pa.list_(form) if column.is_array else form


def _arrow_types() -> "dict[str, pa.DataType]":
    import pyarrow as pa

    return {
        "bool": pa.bool_(),
        "int2": pa.int16(),
        "int4": pa.int32(),
        "int8": pa.int64(),
        "oid": pa.uint32(),
        "float4": pa.float32(),
        "float8": pa.float64(),
        "bytea": pa.binary(),
        "date": pa.date32(),
        "time": pa.time64("us"),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", "UTC"),
    }


def _decimal(modifier: int) -> "pa.DataType":
    """numeric(precision, scale), which PostgreSQL packs into one number; without them a number may have any digits."""
    import pyarrow as pa

    precision, scale = ((modifier - 4) >> 16) & 0xFFFF, (modifier - 4) & 0x7FF
    return pa.decimal128(precision, scale) if scale <= precision <= 38 else pa.string()
