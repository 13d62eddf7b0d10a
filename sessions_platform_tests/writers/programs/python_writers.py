"""Writes files of Parquet and ORC by DuckDB and pyarrow, and beside each, as FILE.json, what its writer reads."""

import base64
import json
import math
import sys
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

BY_DUCKDB = """
select
  id::bigint as id, [9223372036854775807, -9223372036854775808, 9007199254740993][id] as n, id::utinyint as tiny,
  [18446744073709551615, 0, 1][id]::ubigint as big, ['NaN', '0.1', '-Infinity'][id]::double as d, 0.1::float as f,
  id = 1 as ok, concat('e', id, ' é😀') as text, '42'::blob as raw, if(id = 2, null, 'some') as maybe,
  ['12345678901234567890123456789.123456789', '-0.000000001', '42'][id]::decimal(38, 9) as price,
  ['42', '-99999.99', '0.1'][id]::decimal(9, 2) as cents, 'buy'::enum('view', 'buy') as kind,
  ['2026-01-01', '1969-12-31', '0001-01-01'][id]::date as day,
  ['12:00:00.123456', '23:59:59', '00:00:00'][id]::time as tod,
  ['2026-01-01 12:00:00.123456+00', '1969-12-31 23:59:59.999999+00', '9999-12-31 23:59:59+00'][id]::timestamptz as at,
  ['2026-01-01 12:00:00.123456', '1969-12-31 23:59:59.999999', '0001-01-01 00:00:00'][id]::timestamp as local,
  ['2026-01-01 12:00:00.123456789', '1969-12-31 23:59:59.999999999', '1700-01-01 00:00:00'][id]::timestamp_ns as ns,
  ['2026-01-01 12:00:00.123', '1969-12-31 23:59:59.999', '1700-01-01 00:00:00'][id]::timestamp_ms as ms,
  ['2026-01-01 12:00:00', '1969-12-31 23:59:59', '1700-01-01 00:00:00'][id]::timestamp_s as s,
  '01234567-89ab-cdef-0000-00000000000a'::uuid as uid, if(id = 1, [], ['x', null]) as tags,
  if(id = 1, null, map {'k': id}) as counts,
  [{'sku': 's1', 'amount': null}, {'sku': 's2', 'amount': 1.5::double}] as items,
  {'city': if(id = 1, null, 'Köln'), 'at': {'x': id}} as place, '{"a": [1, 1.10]}'::json as doc
from range(1, 4) rows(id)
"""
DUCKDB_OPTIONS = {
    "v1-snappy": "compression snappy",
    "v2-brotli": "parquet_version v2, compression brotli",
    "lz4-raw": "compression lz4_raw",
    "v2-zstd": "parquet_version v2, compression zstd",
}


def rendered(value: Any) -> Any:  # noqa: PLR0911  one for each type
    """Python's values as JSON. Instants are in UTC."""
    if isinstance(value, dict):
        return {key: rendered(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rendered(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return "data:;base64," + base64.b64encode(value).decode()
    if isinstance(value, datetime) and value.tzinfo:
        return rendered(value.astimezone(UTC).replace(tzinfo=None)) + "+00:00"
    if isinstance(value, datetime | time):
        return value.isoformat().rstrip("0").rstrip(".") if value.microsecond else value.isoformat()
    return str(value) if isinstance(value, date | uuid.UUID) else value


def keep(path: Path, rows: list[dict[str, Any]]) -> None:
    path.with_name(f"{path.name}.json").write_text(json.dumps([rendered(row) for row in rows]))


def write_by_duckdb(folder: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        for name, options in DUCKDB_OPTIONS.items():
            path = folder / f"duckdb-{name}.parquet"
            connection.execute(f"copy ({BY_DUCKDB}) to '{path}' (format parquet, {options})")
            # Python's datetime has no nanoseconds: as text, and the integer is the same one.
            query = connection.execute(
                f"select * replace (strftime(ns, '%Y-%m-%dT%H:%M:%S.%n') as ns) from read_parquet('{path}') order by id"
            )
            names = [column[0] for column in query.description]
            rows = [dict(zip(names, row, strict=True)) for row in query.fetchall()]
            for row in rows:
                row["ns"] = row["ns"].rstrip("0").rstrip(".")
            keep(path, rows)


ITEM = pa.struct([("sku", pa.string()), ("amount", pa.float64())])


def columns() -> pa.Table:
    at = [datetime(2026, 1, 1, 12, 0, 0, 123456), datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(1700, 1, 1)]  # noqa: DTZ001
    return pa.table(
        {
            "id": pa.array([1, 2, 3], pa.int32()),
            "n": pa.array([2**63 - 1, -(2**63), None], pa.int64()),
            "big": pa.array([2**64 - 1, 0, 1], pa.uint64()),
            "d": pa.array([float("nan"), 0.1, float("-inf")], pa.float64()),
            "half": pa.array([0.5, 1.5, None], pa.float16()),
            "text": pa.array(["é😀", "x", None], pa.large_string()),
            "view": pa.array(["é😀", "a text of more than twelve bytes", None], pa.string_view()),
            "few": pa.array(["a", "b", "a"], pa.dictionary(pa.int8(), pa.string())),
            "raw": pa.array([b"42", b"\xff", None], pa.binary()),
            "four": pa.array([b"\0\1\2\xff"] * 3, pa.binary(4)),
            "price": pa.array([Decimal("42.00"), Decimal("-0.01"), None], pa.decimal128(38, 2)),
            "wide": pa.array([Decimal(10**60), Decimal(-1), None], pa.decimal256(70, 2)),
            "day": pa.array([date(2026, 1, 1), date(1, 1, 1), None], pa.date32()),
            "tod": pa.array([time(12, 0, 0, 123456), time(0), None], pa.time64("us")),
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "berlin": pa.array(at, pa.timestamp("us", "Europe/Berlin")),
            "local": pa.array(at, pa.timestamp("us")),
            "ms": pa.array([value.replace(microsecond=123000) for value in at], pa.timestamp("ms")),
            "uid": pa.array([uuid.UUID(int=1).bytes] * 3, pa.uuid()),
            "tags": pa.array([[], ["x", None], None], pa.list_(pa.string())),
            "counts": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
            "items": pa.array([[{"sku": "s1", "amount": None}], [], None], pa.list_(ITEM)),
            "place": pa.array([{"city": "Köln", "at": {"x": 1}}, {"city": None, "at": None}, None]),
        }
    )


PYARROW_OPTIONS: dict[str, dict[str, Any]] = {
    "v1": {"version": "1.0", "data_page_version": "1.0"},
    "int96": {"use_deprecated_int96_timestamps": True},
    "v2-pages-brotli": {"data_page_version": "2.0", "compression": "brotli"},
    "lz4": {"compression": "lz4", "write_page_checksum": True},
    "without-arrow-schema": {"store_schema": False, "compression": "gzip"},
    "two-level-lists": {"use_compliant_nested_type": False},
}


def write_by_pyarrow(folder: Path) -> None:
    table = columns()
    for name, options in PYARROW_OPTIONS.items():
        path = folder / f"pyarrow-{name}.parquet"
        left_out = [] if name != "int96" else ["berlin"]
        pq.write_table(table.drop_columns(left_out), path, **options)
        keep(path, pq.read_table(path, coerce_int96_timestamp_unit="us").to_pylist(maps_as_pydicts="strict"))
    many = pa.table({"id": [f"event-{number}" for number in range(120)], "few": ["a", "b", "c"] * 40})
    path = folder / "pyarrow-dictionary-fallback.parquet"
    pq.write_table(many, path, dictionary_pagesize_limit=200, data_page_size=200, write_batch_size=10)
    keep(path, pq.read_table(path).to_pylist(maps_as_pydicts="strict"))
    path = folder / "pyarrow.orc"
    without = ["big", "half", "view", "few", "four", "wide", "tod", "uid", "text"]
    in_orc = table.drop_columns(without).append_column("text", table["text"].cast(pa.string()))
    orc.write_table(in_orc, path)
    keep(path, orc.read_table(path).to_pylist(maps_as_pydicts="strict"))


if __name__ == "__main__":
    write_by_duckdb(Path(sys.argv[1]))
    write_by_pyarrow(Path(sys.argv[1]))
