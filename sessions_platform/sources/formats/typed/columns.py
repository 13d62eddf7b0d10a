"""Columns of a typed file as they are sent to the parent, which makes the rows' JSON of them many rows at once.

A column is sent as it is where its values as JSON can be made of whole columns, without a Python object for any value:
text, integers, floats, booleans, dates and times in the years 1 to 9999, and null. Values that are text as JSON, such
as decimals and bytes, are sent as that text, and lists, structures and maps as their JSON; `rows` defines what it is.
Of texts that are numbers in a dictionary, views of its bytes are sent, so that each text is sent once. A batch with
text that can't be stored (U+0000, or no UTF-8) is sent row by row. What the parent makes of columns is in `payloads`.
Runs in the child process only (`worker`).
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.typed.rows import distinct_names, json_rows, json_values

_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}
_EPOCH, _END = date(1970, 1, 1), date(9999, 12, 31)
_FIRST_DAY, _LAST_DAY = (date.min - _EPOCH).days, (_END - _EPOCH).days
_FIRST_SECOND = round(datetime.min.replace(tzinfo=UTC).timestamp())
_VIEW_BYTES = 16  # Arrow columnar format, "Variable-size Binary View Layout"
_NUL_IN_JSON = b"\\u0000"
_LAST_SECOND = round(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())


class Columns(NamedTuple):
    """The columns of a block of rows.

    Attributes:
        names: of the columns, distinct.
        as_json: whether each column has the JSON of its values, and not these themselves.
        batch: the columns, in this order, named by their numbers.
    """

    names: list[str]
    as_json: list[bool]
    batch: pa.RecordBatch

    def write_to(self, stream: Any) -> None:
        """Write the batch as an Arrow IPC stream."""
        with pa.ipc.new_stream(stream, self.batch.schema) as writer:
            writer.write_batch(self.batch)


Rows = list[bytes] | Columns


def blocks(batch: pa.RecordBatch, types: list[pa.DataType], block_bytes: int, block_rows: int) -> Iterator[Rows]:
    """A batch, its columns read as these types, in blocks of about so many bytes and at most so many rows."""
    size = sum(map(_size, batch.columns))
    bytes_per_row = max(1, size // max(1, batch.num_rows))
    height = max(1, min(block_rows, block_bytes // bytes_per_row))
    for start in range(0, batch.num_rows, height):
        yield rows_of(batch.slice(start, height), types)


def _size(column: Any) -> int:
    """How many bytes a column takes, each text counted as often as it occurs."""
    if not _is_text_by_number(column.type):
        return column.nbytes
    lengths = pc.binary_length(column.dictionary).take(column.indices)  # pyright: ignore[reportAttributeAccessIssue]
    return column.indices.nbytes + (pc.sum(lengths).as_py() or 0)  # pyright: ignore[reportAttributeAccessIssue]


def rows_of(batch: pa.RecordBatch, types: list[pa.DataType]) -> Rows:
    """The rows of a batch, its columns read as these types.

    Raises:
        CorruptDataError: a column is named twice.
    """
    names = distinct_names(batch.schema.names)
    pairs = zip(batch.columns, types, strict=True)
    columns = [column if column.type == kind else column.cast(kind, safe=False) for column, kind in pairs]
    try:
        _check_storable("".join(names).encode())
        sent = [_sent(column) for column in columns]
    except (pa.ArrowInvalid, UnicodeEncodeError, _UnstorableError):
        sent = []
    if not sent:
        return json_rows(names, columns, batch.num_rows)
    arrays = [values if json is None else json for values, json in sent]
    numbered = pa.RecordBatch.from_arrays(arrays, [str(number) for number in range(len(arrays))])
    return Columns(names, [json is not None for _, json in sent], numbered)


def _sent(column: Any) -> tuple[Any, Any]:
    """A column as it is; or beside it the JSON of its values, where that can't be made of the column.

    Raises:
        ArrowInvalid, UnicodeEncodeError: it has text that is not UTF-8.
        _UnstorableError: it has U+0000.
    """
    if _is_text_by_number(column.type):
        return _sent_text_by_number(column), None
    column = _plain(column)
    if _is_text(column.type):
        return _sent_text(column), None
    if _is_simple(column):
        return column, None
    values = json_values(column)
    if not pa.types.is_nested(column.type) and all(value is None or isinstance(value, str) for value in values):
        return _sent_text(pa.array(values, pa.large_string())), None
    texts = [None if value is None else msgspec.json.encode(value).decode() for value in values]
    return column, _sent_text(pa.array(texts, pa.large_string()), _NUL_IN_JSON)


class _UnstorableError(Exception):
    """A text has U+0000."""


def _sent_text(texts: Any, nul: bytes = b"\0") -> Any:
    """The texts as views, which the parent takes as they are. Raises ArrowInvalid and _UnstorableError."""
    texts.validate(full=True)
    if pa.types.is_string_view(texts.type):
        texts = texts.cast(pa.large_string())
    *_, characters = texts.buffers()
    _check_storable(characters.to_pybytes() if characters else b"", nul)
    return texts.cast(pa.string_view())


def _sent_text_by_number(column: Any) -> Any:
    """The texts as views of the dictionary's bytes.

    Raises:
        CorruptDataError: a number is not in the dictionary, and would lead out of its memory.
        ArrowInvalid, _UnstorableError: as of `_sent_text`, also where no row has the text.
    """
    if not _is_between(column.indices, 0, len(column.dictionary) - 1):
        raise CorruptDataError("a text has a number that is not in its dictionary")
    texts = _sent_text(column.dictionary)
    validity, views, *characters = texts.buffers()
    numbered = pa.Array.from_buffers(pa.binary(_VIEW_BYTES), len(texts), [validity, views], offset=texts.offset)
    of_rows = numbered.take(column.indices)
    return pa.Array.from_buffers(pa.string_view(), len(column), [*of_rows.buffers(), *characters])


def _check_storable(text: bytes, nul: bytes = b"\0") -> None:
    if nul in text:
        raise _UnstorableError


def _plain(column: Any) -> Any:
    """The same values in a type that the parent knows, where they have one."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
        return _plain(column.storage)
    if pa.types.is_dictionary(kind):
        return _plain(column.dictionary_decode())
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_timestamp(kind):
        return _in_utc(column)
    return column


def _in_utc(times: Any) -> Any:
    """Instants in UTC, and local times as they are; those of whole seconds as milliseconds, unless these overflow."""
    zone, unit, numbers = "UTC" if times.type.tz else None, times.type.unit, times.cast(pa.int64())
    in_utc = numbers.cast(pa.timestamp(unit, zone))
    is_whole = unit == "s" and _is_between(numbers, _FIRST_SECOND, _LAST_SECOND)
    return in_utc.cast(pa.timestamp("ms", zone)) if is_whole else in_utc


def _is_simple(column: Any) -> bool:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit != "s":
        per_second = _PER_SECOND[kind.unit]
        first, last = _FIRST_SECOND * per_second, (_LAST_SECOND + 1) * per_second - 1
        return _is_between(column.cast(pa.int64()), first, last)
    if pa.types.is_date32(kind):
        return _is_between(column.cast(pa.int32()), _FIRST_DAY, _LAST_DAY)
    return any(test(kind) for test in _SIMPLE)


def _is_between(numbers: Any, first: int, last: int) -> bool:
    """Whether all numbers that there are lie between these two."""
    least, greatest = pc.min_max(numbers).values()  # pyright: ignore[reportAttributeAccessIssue]
    return not least.is_valid or (first <= least.as_py() and greatest.as_py() <= last)


def _is_text_by_number(kind: pa.DataType) -> bool:
    return pa.types.is_dictionary(kind) and _is_text(kind.value_type)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


_SIMPLE = (pa.types.is_integer, pa.types.is_float64, pa.types.is_boolean, pa.types.is_null)
