"""Sessions by a tool's ids beside those of the rule, and what is counted of events that neither decides."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from sessions_platform.operations.status import status
from sessions_platform.operations.verify import verify
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.quality import Severity
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.pipeline.tool_sessions import check_tool_sessions
from sessions_platform_tests.contexts import line, open_context
from sessions_platform_tests.pipeline.steps import RUN, put, table
from sessions_platform_tests.streams import DAY_ONE

__all__ = ["open_context"]

DAY = "2026-01-01"


@pytest.fixture
def loaded(open_context: Callable[..., StreamContext]) -> StreamContext:
    """Two tabs of ann's, bob as the rule has him and without ids, and heartbeats of eve's, one in no session."""
    context = open_context(session={"id": "page_url", "passive": ["beat"]})
    rows = [
        *(("ann", minute, "view", tool) for minute, tool in [(0, "x"), (1, "y"), (50, "x"), (51, "y")]),
        *(("bob", minute, "view", tool) for minute, tool in [(0, "z"), (10, "z"), (60, None), (70, None)]),
        *(("eve", minute, kind, None) for minute, kind in [(0, "view"), (20, "beat"), (100, "beat")]),
    ]
    lines = [
        line(user, DAY_ONE + timedelta(minutes=minute), f"{user}{minute}", kind, url=tool)
        for user, minute, kind, tool in rows
    ]
    put(context, "1.ndjson", lines, DAY)
    run_pipeline(context, [DAY], RUN)
    return context


def test_the_check_shows_which_sessions_of_the_tool_the_rule_would_not_make(loaded: StreamContext) -> None:
    result = check_tool_sessions(loaded, loaded.sessionized_events([DAY]))
    assert (result.passed, result.severity) == (False, Severity.warning)
    assert result.metadata == {"by_tool": 5, "by_rule": 5, "equal": 3, "events_without_id": 5}
    shown = [
        (row["tool_session_id"], row["events"], row["rule_sessions"], row["shared_with"])
        for row in result.tables["different"]
    ]
    assert shown == [("x", 2, 2, 1), ("y", 2, 2, 1)]


def test_the_check_passes_where_the_tools_sessions_are_those_of_the_rule(
    open_context: Callable[..., StreamContext],
) -> None:
    context = open_context(session={"id": "page_url"})
    lines = [
        line("ann", DAY_ONE + timedelta(minutes=minute), str(minute), url=str(minute > 30)) for minute in (0, 9, 60)
    ]
    put(context, "1.ndjson", lines, DAY)
    run_pipeline(context, [DAY], RUN)
    result = check_tool_sessions(context, context.sessionized_events([DAY]))
    assert (result.passed, dict(result.tables)) == (True, {})
    assert result.metadata == {"by_tool": 2, "by_rule": 2, "equal": 2, "events_without_id": 0}


def test_status_counts_what_is_in_no_session_and_what_the_rule_decided(loaded: StreamContext) -> None:
    document = status(loaded)
    assert (document["events_in_sessions"], document["events_outside_sessions"]) == (10, 1)
    assert document["events_without_tool_id"] == 5
    assert {row["tool_session_id"]: row["event_count"] for row in table(loaded) if row["user_id"] != "eve"} == {
        "x": 2,
        "y": 2,
        "z": 2,
        None: 2,
    }


def test_what_is_stored_of_them_is_verified(loaded: StreamContext) -> None:
    assert verify(loaded, RUN, deep=True).problems == []
