"""The sources that dbt reads are the tables that there are: each column, in its order, with its type.

Not here: that dbt takes them (`servers/test_dbt.py`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from click.testing import CliRunner

from sessions_platform.cli import app
from sessions_platform.operations.dbt.source_table import accepted_values
from sessions_platform.operations.dbt.sources import sources_text
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import deliver
from sessions_platform_tests.storage.targets import BOTH_TABLES, load_two_days, the_target
from sessions_platform_tests.streams import PLAIN, stream

INTERNAL = {"loaded_partitions"}
EVERY_COLUMN = """
select relname, attname, format_type(atttypid, null) as type
from pg_attribute join pg_class c on c.oid = attrelid
where relnamespace = '{}'::regnamespace and relkind in ('r', 'v') and attnum > 0 and not attisdropped
order by relname, attnum"""
RICH: dict[str, Any] = {
    "columns": {
        **PLAIN["columns"],
        "device": {"nullable": True, "isin": ["phone", "it's"]},
        "tool_id": {"from": "sid", "nullable": True, "type": "integer"},
        "known": {"nullable": True},
    },
    "identity": {"anonymous_id": "user_id", "user_id": "known"},
    "user_sessions": {"touch": "device"},
    "session": {
        "id": "tool_id",
        "columns": {"device": {"last": "device"}, "devices": {"count_distinct": "device"}},
        "conversions": {"view": {}},
        "views": ["view"],
        "engaged": {"like": "ga4"},
        "bounce": "not_engaged",
    },
}


def tables(text: str) -> dict[str, dict[str, Any]]:
    (source,) = yaml.safe_load(text)["sources"]
    return {table["name"]: table for table in source["tables"]}


def types(text: str) -> dict[str, list[tuple[str, str]]]:
    return {
        name: [(column["name"], column["data_type"]) for column in table["columns"]]
        for name, table in tables(text).items()
    }


@pytest.mark.slow
def test_every_table_and_view_is_a_source_with_its_columns(
    open_context: Callable[..., StreamContext], tmp_path: Path
) -> None:
    target = {"path": str(tmp_path / "out.duckdb"), "tables": BOTH_TABLES}
    context = load_two_days(open_context(**RICH, targets={"duckdb": target}))
    found: dict[str, list[tuple[str, str]]] = {}
    for row in context.database.query(EVERY_COLUMN.format(context.stream.name)):
        found.setdefault(row["relname"], []).append((row["attname"], row["type"]))
    assert types(sources_text(context.stream)) == {name: of for name, of in found.items() if name not in INTERNAL}

    deliver(context, the_target(context), "a-run")
    with duckdb.connect(target["path"], read_only=True) as connection:
        rows = connection.execute("select table_name, column_name, data_type from duckdb_columns()").fetchall()
    delivered = {name: [(column, kind) for table, column, kind in rows if table == name] for name in BOTH_TABLES}
    assert types(sources_text(context.stream, "duckdb")) == delivered


def test_values_are_tested_where_a_column_has_those_of_another() -> None:
    columns = {column["name"]: column for column in tables(sources_text(stream(**RICH)))["sessions"]["columns"]}
    assert columns["device"]["data_tests"] == [accepted_values(["phone", "it's"])]
    assert accepted_values(["it's"]) == {"accepted_values": {"arguments": {"values": ["it''s"]}}}
    assert "data_tests" not in columns["devices"]
    assert [name for name, column in columns.items() if not column["description"]] == []
    truncated = stream(**{**RICH, "pseudonymize": {"device": "truncate_ip"}})
    columns = {column["name"]: column for column in tables(sources_text(truncated))["sessions"]["columns"]}
    assert "data_tests" not in columns["device"]


@pytest.mark.parametrize(
    ("within", "stated"),
    [
        ("2d", {"count": 2, "period": "day"}),
        ("36h", {"count": 36, "period": "hour"}),
        ("90s", {"count": 2, "period": "minute"}),
    ],
)
def test_the_limit_of_freshness_is_in_units_of_dbt(within: str, stated: dict[str, Any]) -> None:
    fresh = stream(source={**PLAIN["source"], "fresh_within": within})
    assert tables(sources_text(fresh))["sessions"]["config"]["freshness"] == {"warn_after": stated}
    assert "freshness" not in tables(sources_text(stream()))["sessions"]["config"]


def test_the_command_replaces_what_it_wrote_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(yaml.safe_dump({**PLAIN, "key_prefix": "a", "targets": {"copy": _PARQUET}}))
    run = CliRunner(env={"SESSIONS_STREAMS": str(tmp_path), "SESSIONS_HOME": str(tmp_path)}).invoke
    file = tmp_path / "web.yml"
    for _ in range(2):
        assert run(app, ["dbt", "web", str(file), "--key-prefix", "b/c"]).output == f"{file}\n"
    asset = tables(file.read_text())["sessions"]["config"]["meta"]["dagster"]["asset_key"]
    assert asset == ["b", "c", "a", "web", "sessions"]
    file.write_text("version: 2\n")
    assert file.read_text() == "version: 2\n"
    for arguments, reason in (
        ([str(file)], "it is not a file of this command. Fix: remove it, or name another file."),
        (["-", "--target", "copy"], "there is none of type duckdb by the name copy. Fix: add it under targets"),
        (["-", "--key-prefix", "/b"], "'/b' is no prefix of keys. Fix: "),
    ):
        done = run(app, ["dbt", "web", *arguments])
        assert reason in str(done.exception)
    assert file.read_text() == "version: 2\n"


_PARQUET = {"type": "parquet", "path": "copy"}
