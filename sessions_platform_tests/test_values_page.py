"""The table of docs/values.md holds: each text is read here, and by other programs, as it says.

PostgreSQL, DuckDB and polars are asked. Spark is not installed here; its column was made by PySpark 4.3.0 on Java 17,
with the session's timezone UTC and `try_cast`, `try_to_timestamp` and `from_json`.
"""

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import psycopg
import pytest

from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.transforms.rows import row, validated, with_columns

PAGE = Path(__file__).parents[1] / "docs" / "values.md"
REFUSED = "refused"
# By the heading of its table, how a text is read: the column here, SQL, and polars.
Kind = tuple[dict[str, Any], str, str, Callable[[pl.Expr], pl.Expr]]
KINDS: dict[str, Kind] = {
    "`iso8601`": (
        {"type": "timestamp", "formats": ["iso8601"]},
        "select %s::timestamptz",
        "select ?::timestamptz",
        lambda text: text.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False),
    ),
    "`%Y%m%d`": (
        {"type": "timestamp", "formats": ["%Y%m%d"]},
        "select to_timestamp(%s, 'YYYYMMDD')",
        "select strptime(?, '%Y%m%d')",
        lambda text: text.str.to_datetime("%Y%m%d", time_unit="us", strict=False),
    ),
    "`integer`": (
        {"type": "integer"},
        "select %s::bigint",
        "select ?::bigint",
        lambda text: text.cast(pl.Int64, strict=False),
    ),
    "`float`": (
        {"type": "float"},
        "select %s::float8",
        "select ?::double",
        lambda text: text.cast(pl.Float64, strict=False),
    ),
    "`boolean`": (
        {"type": "boolean"},
        "select %s::boolean",
        "select ?::boolean",
        lambda text: text.cast(pl.Boolean, strict=False),
    ),
    "JSON, as text": (
        {"type": "string"},
        "select %s::jsonb ->> 'a'",
        "select ?::json ->> 'a'",
        lambda text: text.str.json_decode(pl.Struct({"a": pl.String})).struct.field("a"),
    ),
}


def tables() -> list[tuple[str, str, list[str]]]:
    """Kind, text and the other cells of each row of the page's tables of texts."""
    found, kind = [], ""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if cells and cells[0] in KINDS and cells[1] == "here":
            kind = cells[0]
        elif not line.startswith("|"):
            kind = ""
        elif kind and cells and cells[0].startswith("`"):
            found.append((kind, cells[0].strip("`"), cells[1:]))
    return found


def shown(value: Any) -> str:
    if isinstance(value, datetime):
        value = (value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None)
        return f"`{value.isoformat(' ')}`"
    if isinstance(value, float) and not math.isfinite(value):
        return "`NaN`" if math.isnan(value) else "`Infinity`"
    return REFUSED if value is None else f"`{value}`".lower() if isinstance(value, bool) else f"`{value}`"


def here(texts: list[str], column: dict[str, Any], *, is_json: bool) -> list[Any]:
    """What a column of a stream reads from each text; from each JSON object its field `a`."""
    of = with_columns(value={"from": "a", "nullable": True, **column})
    objects = [json.dumps(row(id=str(number))).encode() for number in range(len(texts))]
    fields = [text[1:] if is_json else f'"a": {json.dumps(text)}}}' for text in texts]
    payloads = [b"%b, %b" % (row[:-1], field.encode()) for row, field in zip(objects, fields, strict=True)]
    events = validated(of, *payloads).events
    read = dict(zip(events["event_id"], events["value"], strict=True))
    return [read.get(str(number)) for number in range(len(texts))]


def by_duckdb(query: str, text: str) -> Any:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        try:
            return connection.execute(query, [text]).fetchall()[0][0]
        except duckdb.Error:
            return None


def by_polars(read: Callable[[pl.Expr], pl.Expr], text: str) -> Any:
    try:
        return pl.DataFrame({"text": [text]}).select(read(pl.col("text"))).item()
    except pl.exceptions.PolarsError:
        return None


def by_postgresql(database: Database, query: str, text: str) -> Any:
    try:
        with database.transaction() as connection:
            connection.execute("set local timezone = 'UTC'")
            return connection.execute(query.encode(), [text]).fetchall()[0][0]
    except psycopg.DataError:
        return None


@pytest.mark.parametrize("kind", KINDS)
def test_each_text_is_read_here_as_the_page_says(kind: str) -> None:
    rows = [(text, cells[0]) for of_kind, text, cells in tables() if of_kind == kind]
    read = here([text for text, _ in rows], KINDS[kind][0], is_json=kind.startswith("JSON"))
    assert [cell for _, cell in rows] == list(map(shown, read))
    assert rows


@pytest.mark.slow
def test_each_text_is_read_elsewhere_as_the_page_says(administrator: Database) -> None:
    for kind, text, (_, *cells) in tables():
        _, postgresql, duckdb_query, polars = KINDS[kind]
        read = [by_postgresql(administrator, postgresql, text), by_duckdb(duckdb_query, text), by_polars(polars, text)]
        assert (text, [cells[0], cells[1], cells[3]]) == (text, list(map(shown, read)))


@pytest.mark.slow
def test_the_page_names_the_versions(administrator: Database) -> None:
    with administrator.transaction() as connection:
        ((server,),) = connection.execute("show server_version").fetchall()
    assert re.findall(r"PostgreSQL ([\d.]+), DuckDB ([\d.]+), Spark 4.3.0 and polars ([\d.]+)", PAGE.read_text()) == [
        (server, duckdb.__version__, pl.__version__)
    ]
