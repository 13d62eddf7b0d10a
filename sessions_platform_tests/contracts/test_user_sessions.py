"""The key `user_sessions`: its short forms, and the session columns that touches may be."""

from typing import Any

import pytest

from sessions_platform.contracts.short_forms import written_out
from sessions_platform.contracts.stream_checks import cross_key_issues
from sessions_platform_tests.streams import PLAIN, stream

COLUMNS: dict[str, Any] = {**PLAIN["columns"], "channel": {"nullable": True}, "amount": {"type": "float"}}
SESSION: dict[str, Any] = {
    "columns": {
        "came_by": {"first": "channel"},
        "channels": {"count_distinct": "channel"},
        "total": {"sum": "amount"},
        "seen": {"max": "event_timestamp"},
        "broken": 3,
    }
}


@pytest.mark.parametrize(
    ("stated", "broken"),
    [
        ({}, []),
        ({"touch": "came_by", "direct": ["Direct", "(none)"], "lookback": "90d"}, []),
        ({"touch": "entry_page"}, []),
        ({"touch": "channel"}, ["touch"]),
        ({"touch": "channels"}, ["touch"]),
        ({"touch": "total"}, ["touch"]),
        ({"touch": "seen"}, ["touch"]),
        ({"lookback": "90d"}, ["lookback"]),
        ({"direct": "Direct"}, ["direct"]),
        ({"touch": "broken"}, []),
        (3, []),
    ],
)
def test_a_touch_is_a_session_column_of_text(stated: Any, broken: list[str]) -> None:
    raw = {**PLAIN, "columns": COLUMNS, "session": SESSION, "user_sessions": stated}
    found = [issue.key_path for issue in cross_key_issues(raw) if issue.key_path[0] == "user_sessions"]
    assert found == [("user_sessions", key) for key in broken]


def test_short_forms_are_nothing_and_the_touch_alone() -> None:
    assert written_out({"user_sessions": None}) == {"user_sessions": {}}
    assert written_out({"user_sessions": "channel"}) == {"user_sessions": {"touch": "channel"}}


def test_sessions_do_not_depend_on_it() -> None:
    plain, with_pasts = stream(), stream(user_sessions={"touch": "entry_page"})
    assert plain.user_sessions is None
    assert with_pasts.session_rule_version == plain.session_rule_version
    assert with_pasts.contract_version == plain.contract_version
