"""The view `user_sessions`: right after late events, erasures and rebuilds, and cheap to ask of a few users."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg.sql import SQL, Identifier

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.user_sessions import UserSessions
from sessions_platform.operations.drop import what_is_dropped
from sessions_platform.operations.erase import erase
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.orchestration.user_sessions import user_sessions_assets
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.postgres.roles import become_reader
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import put, run_pending, table
from sessions_platform_tests.streams import DAY_ONE, PLAIN

DAY = timedelta(days=1)
PAGE = Path(__file__).parents[2] / "docs" / "attribution.md"
SHOP: dict[str, Any] = {
    "start": "2020-01-01",
    "columns": {**PLAIN["columns"], "channel": {"nullable": True}, "amount": {"type": "float", "nullable": True}},
    "session": {
        "columns": {"channel": {"first": "channel"}},
        "conversions": {"purchase": {"event_type": "view", "value": "amount"}},
    },
    "user_sessions": {"touch": "channel"},
}
Open = Callable[..., StreamContext]


def land(context: StreamContext, landing: str, *visits: tuple[str, datetime, str | None]) -> None:
    """A landing file with an event of each visit: a user, a time and a channel; then all that is pending is done."""
    lines = [line(user, at, f"{landing}-{number}", channel=by) for number, (user, at, by) in enumerate(visits)]
    put(context, f"{landing}/a", lines, landing)
    run_pending(context)


def pasts(context: StreamContext, user: str = "ann") -> list[tuple[Any, ...]]:
    """Of each session of a user, in order: its number, days since the one before, first and last touch."""
    rows = [row for row in table(context, "user_sessions") if row["user_id"] == user]
    names = ("session_number", "days_since_last", "first_touch", "last_non_direct_touch")
    return [tuple(row[name] for name in names) for row in sorted(rows, key=lambda row: row["session_number"])]


@pytest.fixture
def shop(open_context: Open) -> StreamContext:
    """Ann came by mail, directly after two days, and twice on another day by none of the channels; bob came once."""
    context = open_context(**SHOP)
    last = DAY_ONE + 3 * DAY
    visits = [("ann", DAY_ONE, "Email"), ("ann", DAY_ONE + 2 * DAY, "Direct"), ("ann", last, None)]
    again = ("ann", last + timedelta(hours=9), None)
    land(context, "2026-01-05", *visits, ("bob", DAY_ONE, "Paid Search"), again)
    return context


@pytest.mark.slow
def test_an_event_that_is_years_late_changes_what_follows_and_no_other_row_is_written(shop: StreamContext) -> None:
    mail = "Email", "Email"
    assert pasts(shop) == [(1, None, *mail), (2, 2, *mail), (3, 1, *mail), (4, 0, *mail)]
    assert pasts(shop, "bob") == [(1, None, "Paid Search", "Paid Search")]
    before = {row["session_id"]: row["loaded_at"] for row in table(shop, "sessions")}
    land(shop, "2026-01-06", ("ann", DAY_ONE - 1000 * DAY, "Affiliates"))
    first, late = "Affiliates", ("Affiliates", "Email")
    after_it = [(2, 1000, *late), (3, 2, *late), (4, 1, *late), (5, 0, *late)]
    assert pasts(shop) == [(1, None, first, first), *after_it]
    after = {row["session_id"]: row["loaded_at"] for row in table(shop, "sessions")}
    assert {session_id: after[session_id] for session_id in before} == before


@pytest.mark.slow
def test_a_payment_page_resets_nothing_and_a_touch_may_be_too_old(open_context: Open) -> None:
    context = open_context(**{**SHOP, "user_sessions": {"touch": "channel", "lookback": "2d"}})
    visits = [("ann", DAY_ONE + day * DAY, by) for day, by in ((0, "Email"), (2, None), (3, None), (4, "Direct"))]
    land(context, "2026-01-05", *visits)
    assert [last for *_, last in pasts(context)] == ["Email", "Email", None, "Direct"]


@pytest.mark.slow
def test_users_of_one_address_and_browser_stay_two(open_context: Open) -> None:
    alike = {"ip": "203.0.113.7", "user_agent": "Mozilla/5.0"}
    context = open_context(columns={**PLAIN["columns"], **{name: {} for name in alike}}, user_sessions={})
    visits = [
        line(user, DAY_ONE + n * DAY, f"{n}", **alike) for n, user in enumerate(("anonymous", "ann", "anonymous"))
    ]
    put(context, "a", visits, "2026-01-05")
    run_pending(context)
    found = [(row["user_id"], row["session_number"]) for row in table(context, "user_sessions")]
    assert sorted(found) == [("ann", 1), ("anonymous", 1), ("anonymous", 2)]


def statements_of(page: Path, context: StreamContext) -> list[list[str]]:
    """The SQL of each block, for this stream, and with all changes as those since the last time."""
    blocks = re.findall(r"^```text\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    name = context.stream.name
    named = [re.sub(r"\b(shop|mine)\.", rf"{name}_\1.", block).replace(f"{name}_shop.", f"{name}.") for block in blocks]
    return [block.replace(":since", "'-infinity'").split(";\n") for block in named]


@pytest.mark.slow
def test_the_questions_of_the_page_are_answered_and_a_table_of_ones_own_follows(
    shop: StreamContext, administrator: Database
) -> None:
    *questions, upkeep = statements_of(PAGE, shop)
    name = shop.stream.name
    with administrator.transaction() as connection:
        connection.execute(f"create schema {name}_mine".encode())
        connection.execute(f"create table {name}_mine.user_sessions as table {name}.user_sessions".encode())
        answers = [connection.execute(question.encode()).fetchall() for (question, _) in questions]
    assert sorted(answers[0]) == [("Email", 4, 4, None), ("Paid Search", 1, 1, None)]
    assert all(answers)
    land(shop, "2026-01-06", ("ann", DAY_ONE - 1000 * DAY, "Organic Search"))
    land(shop, "2026-01-05", ("ann", DAY_ONE, "Email"))
    with administrator.transaction() as connection:
        for statement in filter(str.strip, upkeep):
            connection.execute(statement.encode())
        rows = [
            connection.execute(f"select * from {schema}.user_sessions order by session_id".encode()).fetchall()
            for schema in (name, f"{name}_mine")
        ]
        connection.execute(f"drop schema {name}_mine cascade".encode())
    assert rows[0] == rows[1]
    assert len(rows[0]) == 2


@pytest.mark.slow
def test_an_erased_user_has_no_past_and_a_rebuild_keeps_the_others(shop: StreamContext) -> None:
    erase(shop, ["ann"])
    assert pasts(shop) == []
    others = {**SHOP, "session": {"columns": {"came_by": {"last": "channel"}}}, "user_sessions": {"touch": "came_by"}}
    changed = Stream.model_validate({**PLAIN, **others, "name": shop.stream.name})
    rebuilt = replace(shop, stream=changed)
    rebuild(rebuilt, "a-rebuild", lambda _: None)
    assert pasts(rebuilt, "bob") == [(1, None, "Paid Search", "Paid Search")]
    assert "channel" not in table(rebuilt, "sessions")[0]


@pytest.mark.slow
def test_the_view_is_what_the_file_says_now_and_belongs_to_the_stream(shop: StreamContext, settings: Settings) -> None:
    assert "user_sessions" in what_is_dropped(settings, shop.stream.name).tables
    number = replace(shop, stream=shop.stream.model_copy(update={"user_sessions": UserSessions.model_validate({})}))
    number.prepare()
    assert "first_touch" not in table(number, "user_sessions")[0]
    with number.database.transaction() as connection:
        become_reader(connection)
        query = SQL("select count(*) as n from {} where is_new").format(Identifier(shop.stream.name, "user_sessions"))
        assert connection.execute(query).fetchone() == (2,)
    none = replace(shop, stream=shop.stream.model_copy(update={"user_sessions": None}))
    none.prepare()
    assert "user_sessions" not in what_is_dropped(settings, shop.stream.name).tables


@pytest.mark.slow
def test_the_past_of_a_few_users_is_read_by_the_index(shop: StreamContext) -> None:
    with shop.database.transaction() as connection:
        connection.execute("set local enable_seqscan = off")
        changed = SQL("select user_id from {}").format(Identifier(shop.stream.name, "sessions"))
        view = Identifier(shop.stream.name, "user_sessions")
        query = SQL("explain select * from {} where user_id = any(array({}))").format(view, changed)
        plan = "\n".join(line for (line,) in connection.execute(query).fetchall())
    assert "Index Cond: (user_id = ANY" in plan


def test_the_asset_is_there_where_the_file_asks_for_it() -> None:
    plain = Stream.model_validate(PLAIN)
    (spec,) = user_sessions_assets(Stream.model_validate({**PLAIN, **SHOP}))
    assert list(user_sessions_assets(plain)) == []
    assert [dep.asset_key.path[-1] for dep in spec.deps] == ["sessions"]
