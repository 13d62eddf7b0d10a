"""`sql` in each format: every value is right, and memory does not grow with the rows."""

import csv
import datetime as dt
import io
import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.errors import UserError
from sessions_platform.operations.export import Format, csv_lines, write
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database, QueryError
from sessions_platform.storage.postgres.results import Column, Result
from sessions_platform_tests.cli.terminal import command, environment

ODD = r"""select 'NaN'::float8 as nan, '-Infinity'::float4 as least, 'NaN'::numeric as exact,
    1.50::numeric(10,2) as price, null::text as nothing, '' as empty, E'\x1b[2J\x07' as escape, E'a\n"b",c' as lines,
    true as yes, '2026-03-01 09:00:00.5+02'::timestamptz as zoned, '2026-03-01 09:00:00'::timestamp as plain,
    '2026-03-01'::date as day, array['a', null, 'b"c'] as words, array['2026-03-01'::date] as days,
    '{"a": 1.000000000000000000001}'::jsonb as document, E'{"a":\n1}'::json as spaced,
    interval '1 mon 2 days' as span, '\xdead'::bytea as bytes, 1 as x, 2 as x"""
TEXT = 25


def written(database: Database, sql: str, form: Format) -> bytes:
    file = io.BytesIO()
    with database.result(sql, form.values) as result:
        write(result, form, file)
    return file.getvalue()


def test_csv_has_every_value_as_postgresql_writes_it(database: Database) -> None:
    names, values = csv.reader(io.StringIO(written(database, ODD, Format.csv).decode(), newline=""))
    row = dict(zip(names, values, strict=True))
    assert row == {
        "nan": "NaN",
        "least": "-Infinity",
        "exact": "NaN",
        "price": "1.50",
        "nothing": "",
        "empty": "",
        "escape": "\x1b[2J\x07",
        "lines": 'a\n"b",c',
        "yes": "true",
        "zoned": "2026-03-01 07:00:00.5+00",
        "plain": "2026-03-01 09:00:00",
        "day": "2026-03-01",
        "words": r'{a,NULL,"b\"c"}',
        "days": "{2026-03-01}",
        "document": '{"a": 1.000000000000000000001}',
        "spaced": '{"a":\n1}',
        "span": "1 mon 2 days",
        "bytes": r"\xdead",
        "x": "1",
        "x_2": "2",
    }


def test_csv_tells_null_from_empty_text(database: Database) -> None:
    assert written(database, "select null::text as a, '' as b, 1 as c", Format.csv) == b'a,b,c\n,"",1\n'


def test_ndjson_and_json_have_every_value(database: Database) -> None:
    line = written(database, ODD, Format.ndjson).decode()
    assert "\x1b" not in line
    assert '"document": {"a": 1.000000000000000000001}' in line
    row = json.loads(line)
    assert row == {
        "nan": "NaN",
        "least": "-Infinity",
        "exact": "NaN",
        "price": "1.50",
        "nothing": None,
        "empty": "",
        "escape": "\x1b[2J\x07",
        "lines": 'a\n"b",c',
        "yes": True,
        "zoned": "2026-03-01 07:00:00.500000+00:00",
        "plain": "2026-03-01 09:00:00",
        "day": "2026-03-01",
        "words": ["a", None, 'b"c'],
        "days": ["2026-03-01"],
        "document": {"a": 1.0},
        "spaced": {"a": 1},
        "span": "1 mon 2 days",
        "bytes": r"\xdead",
        "x": 1,
        "x_2": 2,
    }
    assert json.loads(written(database, ODD, Format.json)) == [row]


def test_parquet_has_every_value_with_its_type(database: Database) -> None:
    (row,) = pl.read_parquet(written(database, ODD, Format.parquet)).to_dicts()
    assert str(row.pop("nan")) == "nan"
    utc = dt.UTC
    assert row == {
        "least": float("-inf"),
        "exact": "NaN",
        "price": Decimal("1.50"),
        "nothing": None,
        "empty": "",
        "escape": "\x1b[2J\x07",
        "lines": 'a\n"b",c',
        "yes": True,
        "day": dt.date(2026, 3, 1),
        "zoned": dt.datetime(2026, 3, 1, 7, 0, 0, 500_000, utc),
        "plain": dt.datetime(2026, 3, 1, 9, 0, 0),  # noqa: DTZ001
        "words": ["a", None, 'b"c'],
        "days": [dt.date(2026, 3, 1)],
        "bytes": b"\xde\xad",
        "span": "1 mon 2 days",
        "document": '{"a": 1.000000000000000000001}',
        "spaced": '{"a":\n1}',
        "x": 1,
        "x_2": 2,
    }


@pytest.mark.parametrize("form", [Format.csv, Format.ndjson])
def test_times_that_python_does_not_have_are_printed(database: Database, form: Format) -> None:
    out = written(database, "select 'infinity'::timestamptz as a, '0044-03-15 BC'::timestamp as b", form).decode()
    assert "infinity" in out
    assert "0044-03-15 00:00:00 BC" in out


@pytest.mark.parametrize("value", ["'infinity'::timestamptz", "array[[1], [2]]", "'NaN'::numeric(5, 2)"])
def test_what_parquet_has_no_value_for_is_told_with_a_fix(database: Database, value: str) -> None:
    with pytest.raises(UserError, match=r"Fix: .*::text"):
        written(database, f"select {value} as a", Format.parquet)


def test_a_result_without_rows_has_its_columns(database: Database) -> None:
    none = "select 1 as a, now() as b where false"
    assert written(database, none, Format.csv) == b"a,b\n"
    assert written(database, none, Format.ndjson) == b""
    assert written(database, none, Format.json) == b"[]\n"
    assert pl.read_parquet(written(database, none, Format.parquet)).columns == ["a", "b"]


def test_statements_that_are_no_select_are_answered_too(database: Database) -> None:
    assert written(database, "show timezone", Format.csv) == b"TimeZone\nUTC\n"
    assert written(database, "set local search_path = ''", Format.csv) == b""
    assert written(database, "set local search_path = ''", Format.json) == b"[]\n"


@pytest.mark.parametrize(
    "sql",
    [
        "select 1; select 2",
        "create table mine (a int)",
        "copy (select 1) to stdout",
        "select 1 / (5000 - x) from generate_series(1, 5000) x",
    ],
)
def test_a_rejected_statement_is_an_error_also_after_some_rows(database: Database, sql: str) -> None:
    with pytest.raises(QueryError):
        written(database, sql, Format.csv)


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.lists(st.none() | WORDS, min_size=2, max_size=2), max_size=20))
def test_any_text_survives_csv_and_json(rows: list[list[str | None]]) -> None:
    columns = (Column("a", TEXT, -1), Column("b", TEXT, -1))
    text = "".join(csv_lines(Result(columns, map(tuple, rows))))
    assert list(map(list, pl.read_csv(text.encode(), schema={"a": pl.String, "b": pl.String}).rows())) == rows
    file = io.BytesIO()
    write(Result(columns, map(tuple, rows)), Format.json, file)
    assert [list(row.values()) for row in json.loads(file.getvalue())] == rows


MILLION = "select i, md5(i::text) as hash from generate_series(1, {}) i"


def most_memory(settings: Settings, *arguments: Any) -> tuple[int, bytes]:
    """The most memory that the command had, in KiB, and what it printed last."""
    with subprocess.Popen(
        command(*map(str, arguments)), stdout=subprocess.PIPE, env=environment(settings.home)
    ) as process:
        assert process.stdout
        last = b""
        while some := process.stdout.read(1 << 16):
            last = (last + some)[-200:]
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = code
    assert code == 0
    return usage.ru_maxrss, last


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", "ndjson", "json", "parquet"])
def test_a_million_rows_take_no_more_memory_than_a_hundred_thousand(
    settings: Settings, database: Database, tmp_path: Path, form: str
) -> None:
    database.query("select 1")
    few, _ = most_memory(settings, "sql", MILLION.format(100_000), "--format", form)
    file = tmp_path / "all.parquet"
    where = ("-o", file) if form == "parquet" else ()
    many, last = most_memory(settings, "sql", MILLION.format(1_000_000), "--format", form, *where)
    assert many < few + 24 * 1024  # as a list they are 150 MiB more
    if form == "parquet":
        assert pl.scan_parquet(file).select(pl.len(), pl.col("i").max()).collect().row(0) == (1_000_000, 1_000_000)
    else:
        assert b"1000000" in last
