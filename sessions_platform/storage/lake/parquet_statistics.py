"""Statistics of a Parquet file's columns, removed from its footer but for some columns.

Here: the footer, as Thrift's compact protocol has it, decoded and encoded again without them. Polars computes
statistics of all columns or of none. Those of float columns make other readers leave out rows that they were asked for
(DuckDB where a row group has NaN, pyarrow where all of its values are zero), and those of columns by which nothing is
read only lengthen the footer. Not here: how a file is written (`parquet_writer.py`), and who reads by statistics
(`lake.py`).

What is decoded is a generic value of the protocol, so fields that a later version of Parquet adds are kept as they are.
Sources: the compact protocol, github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md; the fields,
github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

import os
import struct
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

_END = struct.Struct("<I4s")  # the footer's length, and Parquet's magic bytes

# Fields of FileMetaData, RowGroup, ColumnChunk and ColumnMetaData.
_ROW_GROUPS, _COLUMNS, _META_DATA, _PATH, _STATISTICS = 4, 1, 3, 3, 12
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)


class _Field(NamedTuple):
    """A value with its type; of a list or set, the elements' type is in the value."""

    type: int
    value: Any


_Struct = dict[int, _Field]


def keep_statistics(path: Path, columns: Collection[str]) -> None:
    """Remove the statistics of all columns of a file but these. A nested column is named by its top level."""
    with path.open("r+b") as file:
        end = file.seek(-_END.size, os.SEEK_END)
        length, magic = _END.unpack(file.read(_END.size))
        start = file.seek(end - length)
        footer = _encoded(_without_statistics(_decoded(BytesIO(file.read(length))), columns))
        file.seek(start)
        file.write(footer + _END.pack(len(footer), magic))
        file.truncate()


def _without_statistics(footer: _Struct, columns: Collection[str]) -> _Struct:
    for row_group in footer[_ROW_GROUPS].value[1]:
        for column in row_group[_COLUMNS].value[1]:
            described: _Struct = column[_META_DATA].value
            if described[_PATH].value[1][0].decode() not in columns:
                described.pop(_STATISTICS, None)
    return footer


# The compact protocol


def _decoded(source: BytesIO) -> _Struct:
    fields: _Struct = {}
    number = 0
    while header := source.read(1)[0]:
        number = number + (header >> 4) if header >> 4 else _unzigzag(_read_varint(source))
        fields[number] = _Field(header & 15, _read(source, header & 15))
    return fields


def _read(source: BytesIO, kind: int) -> Any:
    if kind in _INTEGERS:
        return _read_varint(source)
    if kind == _BINARY:
        return source.read(_read_varint(source))
    if kind == _STRUCT:
        return _decoded(source)
    if kind in (_LIST, _SET):
        header = source.read(1)[0]
        size = header >> 4 if header >> 4 < 15 else _read_varint(source)
        return header & 15, [_read_element(source, header & 15) for _ in range(size)]
    if kind == _MAP:
        size = _read_varint(source)
        kinds = source.read(1)[0] if size else 0
        pairs = [(_read_element(source, kinds >> 4), _read_element(source, kinds & 15)) for _ in range(size)]
        return kinds, pairs
    return source.read({_BYTE: 1, _DOUBLE: 8, _TRUE: 0, _FALSE: 0}[kind])


def _read_element(source: BytesIO, kind: int) -> Any:
    """An element of a list or map: a Boolean is a byte there, and not part of a field's type."""
    return source.read(1) if kind in (_TRUE, _FALSE) else _read(source, kind)


def _encoded(fields: _Struct) -> bytes:
    parts: list[bytes] = []
    last = 0
    for number, field in fields.items():
        step = number - last
        parts.append(bytes([step << 4 | field.type]) if 0 < step < 16 else bytes([field.type]) + _zigzag(number))
        parts.append(_written(field.type, field.value))
        last = number
    return b"".join([*parts, b"\0"])


def _written(kind: int, value: Any) -> bytes:
    if kind in _INTEGERS:
        return _varint(value)
    if kind == _BINARY:
        return _varint(len(value)) + value
    if kind == _STRUCT:
        return _encoded(value)
    if kind in (_LIST, _SET):
        of, elements = value
        size = bytes([len(elements) << 4 | of]) if len(elements) < 15 else bytes([0xF0 | of]) + _varint(len(elements))
        return b"".join([size, *(_written_element(of, element) for element in elements)])
    if kind == _MAP:
        kinds, pairs = value
        both = (_written_element(kinds >> 4, key) + _written_element(kinds & 15, of) for key, of in pairs)
        return b"".join([_varint(len(pairs)), bytes([kinds]) if pairs else b"", *both])
    return value


def _written_element(kind: int, value: Any) -> bytes:
    return value if kind in (_TRUE, _FALSE) else _written(kind, value)


def _read_varint(source: BytesIO) -> int:
    number = shift = 0
    while True:
        byte = source.read(1)[0]
        number |= (byte & 127) << shift
        if byte < 128:
            return number
        shift += 7


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _unzigzag(number: int) -> int:
    return number >> 1 ^ -(number & 1)


def _zigzag(number: int) -> bytes:
    return _varint(number << 1)
