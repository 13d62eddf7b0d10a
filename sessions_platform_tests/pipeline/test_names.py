"""A stream's column may have any name that is not refused: none collides with the platform's internal names."""

import ast
import itertools
import json
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import sessions_platform
from sessions_platform.contracts.stream_checks import RESERVED, cross_key_issues
from sessions_platform.pipeline.context import StreamContext
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh, table
from sessions_platform_tests.streams import DAY_ONE, PLAIN

pytestmark = pytest.mark.slow

PACKAGE = Path(sessions_platform.__file__).parent
WORKING_ON_ROWS = ("contracts", "sources", "transforms", "engines", "storage", "pipeline", "operations")
MINUTES = (0, 20, 60, 1450)


def names_used_within() -> set[str]:
    """Every name that the code could give a column, in Python or in SQL, if it can name a stream's column."""
    files = itertools.chain.from_iterable((PACKAGE / part).rglob("*.py") for part in WORKING_ON_ROWS)
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    in_sql = {word for text in texts if "select " in text for word in re.findall(r"[a-z_]+", text)}
    keywords = {node.arg for node in nodes if isinstance(node, ast.keyword) and node.arg}
    return {name for name in {*texts, *in_sql, *keywords} if re.fullmatch("[a-z][a-z0-9_]{0,47}", name)}


@cache
def others() -> list[str]:
    return sorted(names_used_within() - RESERVED - set(PLAIN["columns"]))


def stored_rows(context: StreamContext) -> list[dict[str, Any]]:
    """The sessions, without what names and the clock alone decide."""
    without = {"session_rule_version", "loaded_at", "chain", *others()}
    return [{key: value for key, value in row.items() if key not in without} for row in table(context)]


def sessions(context: StreamContext, names: Iterable[str] = ()) -> list[dict[str, Any]]:
    """What is stored after events came, one of them late, and one of two sessions' bridges went again."""
    rows = {minute: DAY_ONE + timedelta(minutes=minute) for minute in MINUTES}
    lines = [line("ann", at, f"{minute}", **{f"x_{name}": "x" for name in names}) for minute, at in rows.items()]
    put(context, "a", lines[:2] + lines[3:], "2026-01-01")
    for content in ([lines[2]], [line("ann", DAY_ONE + timedelta(minutes=45), "45")], [lines[2]]):
        put(context, "b", content, "2026-01-02")
        ingest_and_publish(context, "2026-01-01", "2026-01-02")
        refresh(context)
    changes = [(c["change"], c["session_id"], c["merged_into"]) for c in table(context, "session_changes")]
    return [*stored_rows(context), {"changes": sorted(changes, key=str)}]


def test_the_names_that_are_tried_are_those_of_the_code() -> None:
    assert {"vanished", "seconds", "row", "reason", "appears"} <= set(others())


@pytest.mark.parametrize("part", [0, 1])  # a table of PostgreSQL has 1,600 columns at most
def test_a_streams_columns_may_have_internal_names(open_context: Callable[..., StreamContext], part: int) -> None:
    names = others()[part::2]
    columns = PLAIN["columns"] | {name: {"from": f"x_{name}", "nullable": True} for name in names}
    aggregates = {name: {"last": name} for name in names}
    named = open_context(columns=columns, session={"columns": aggregates})
    assert list(cross_key_issues({"columns": columns, "session": {"columns": aggregates}})) == []
    assert sessions(named, names) == sessions(open_context())
    (stored, *_) = table(named)
    assert {stored[name] for name in names} == {"x"}


@pytest.mark.parametrize("name", ["chain", "vanished", "seconds"])
def test_columns_that_rules_check_may_have_internal_names(
    open_context: Callable[..., StreamContext], name: str
) -> None:
    columns = {**PLAIN["columns"], name: {"from": f"x_{name}", "nullable": True}}
    rules = {"sequence": name, "session": {"campaign": name, "columns": {name: {"count_distinct": name}}}}
    assert list(cross_key_issues({"columns": columns, **rules})) == []
    assert sessions(open_context(columns=columns, **rules), [name]) == sessions(open_context())


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_names_that_would_collide_are_refused(name: str) -> None:
    raw = {"columns": {**PLAIN["columns"], name: {}}, "session": {"columns": {name: {"count": "user_id"}}}}
    refused = {place for place, _, _ in cross_key_issues(json.loads(json.dumps(raw)))}
    assert {("columns", name), ("session", "columns", name)} <= refused
