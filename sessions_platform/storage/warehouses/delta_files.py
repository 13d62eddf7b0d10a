"""The data files of Delta tables, and what a commit says of them.

The library's own writer keeps the files of all partitions of a commit in memory until the last row. Here they are
written one after another, so memory does not grow with what is delivered. Not here: the commit (`delta_tables.py`).
"""

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction
from pyarrow.fs import PyFileSystem

from sessions_platform.storage.warehouses.base import PARTITION

_TABLES_IN_A_FILE = 16
_LONGEST_TEXT, _LAST_CHARACTER = 64, "\U0010ffff"  # of a bound
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


def write_files(root: str, options: dict[str, str], partition: str, tables: Iterator[pa.Table]) -> Iterator[AddAction]:
    """Write the rows of a partition to new files below the root of a table, which no commit has yet.

    Args:
        root: the table's path or URL.
        options: how its store is reached.
        partition: of all rows; its name can be a folder's.
        tables: the rows, in tables that are a row group each.

    Yields:
        Of each file what adds it to the table. There is none without rows.
    """
    store = PyFileSystem(DeltaStorageHandler(root, options))
    for first in tables:
        yield _file(store, partition, chain([first], islice(tables, _TABLES_IN_A_FILE - 1)))


def _file(store: PyFileSystem, partition: str, tables: Iterable[pa.Table]) -> AddAction:
    path, counted = f"{PARTITION}={partition}/{uuid4()}.zstd.parquet", _Statistics()
    tables = (table.drop_columns([PARTITION]) for table in tables)
    first = next(tables)
    store.create_dir(path.rpartition("/")[0])
    with store.open_output_stream(path) as file, pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
        for table in chain([first], tables):
            writer.write_table(table)
            counted.add(table)
    size, now = store.get_file_info(path).size, int(time.time() * 1000)
    return AddAction(path, size, {PARTITION: partition}, now, data_change=True, stats=counted.stated())


class _Statistics:
    """By what readers skip a file: the counts of rows and nulls, and the bounds of each column.

    Bounds may be wider than the values: of long texts there are the first characters, and of times milliseconds. There
    are none where JSON has no word for one, as for infinity: then no column has any, since the library's reader takes
    the one that is missing for a null, and passes over all rows of the file.
    """

    def __init__(self) -> None:
        self._rows, self._nulls = 0, Counter[str]()
        self._least, self._greatest = dict[str, Any](), dict[str, Any]()

    def add(self, table: pa.Table) -> None:
        self._rows += table.num_rows
        for name in table.column_names:
            column = table[name]
            self._nulls[name] += column.null_count
            if column.null_count < len(column):
                low, high = map(_plain, pc.call_function("min_max", [column]).values())
                self._least[name] = min(low, self._least.get(name, low))
                self._greatest[name] = max(high, self._greatest.get(name, high))

    def stated(self) -> str:
        """As Delta's protocol has them, without escapes: the library takes those of U+10FFFF for another character."""
        counts = {"numRecords": self._rows, "nullCount": self._nulls}
        bounds = {name: _bounds(low, self._greatest[name]) for name, low in self._least.items()}
        low, high = ({name: found[end] for name, found in bounds.items() if found} for end in (0, 1))
        known = {"minValues": low, "maxValues": high} if len(low) == len(bounds) else {}
        return json.dumps({**counts, **known}, ensure_ascii=False)


@dataclass(frozen=True, order=True)
class _Time:
    """A time that Python's own may be too short for."""

    microseconds: int


def _plain(scalar: pa.Scalar) -> Any:
    return _Time(scalar.value) if pa.types.is_timestamp(scalar.type) else scalar.as_py()


def _bounds(least: Any, greatest: Any) -> tuple[Any, Any] | None:
    """Two bounds; None where they can't be stated."""
    if isinstance(least, str):
        return least[:_LONGEST_TEXT], _above(greatest)
    if isinstance(least, float):
        return (least, greatest) if math.isfinite(least) and math.isfinite(greatest) else None
    if isinstance(least, _Time):
        return _times(least.microseconds // 1000, -(-greatest.microseconds // 1000))
    return least, greatest


def _above(text: str) -> str:
    """A short text that is not before this one; this one itself where none is short."""
    short = text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + _LAST_CHARACTER
    return max(short, text)


def _times(*milliseconds: int) -> tuple[str, str] | None:
    try:
        low, high = ((_EPOCH + count * _MILLISECOND).isoformat(timespec="milliseconds") for count in milliseconds)
    except OverflowError:  # a year of more than four digits
        return None
    return low.replace("+00:00", "Z"), high.replace("+00:00", "Z")
