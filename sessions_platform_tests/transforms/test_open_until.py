"""`open_until` is set for each user's last session, and for no other."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.transforms.open_until import starts_last, with_open_until

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLAIN_RULE = SessionRule.model_validate({})
HOUR, GAP = timedelta(hours=1), timedelta(minutes=30)


def test_of_each_user_the_session_that_starts_last_has_a_value() -> None:
    rows = [("ann", 0, 9), ("bob", 5, 6), ("ann", 2, 3), ("ann", 1, 8)]
    sessions = pl.DataFrame(
        [
            {"user_id": user, "session_start": NOON + start * HOUR, "session_end": NOON + end * HOUR}
            for user, start, end in rows
        ]
    )
    is_last = starts_last(sessions, PLAIN_RULE)
    assert is_last.to_list() == [False, True, True, False]
    result = with_open_until(sessions, is_last, SessionRule.model_validate({}))
    assert result["open_until"].to_list() == [None, NOON + 6 * HOUR + GAP, NOON + 3 * HOUR + GAP, None]
    assert result.drop("open_until").equals(sessions)


@pytest.mark.parametrize(
    ("rule", "until"),
    [
        pytest.param({"precision": "ms"}, "12:30:00.250999", id="the last moment whose millisecond is not later"),
        pytest.param({"precision": "s"}, "12:30:00.999999", id="the last moment of the second"),
        pytest.param({"precision": "s", "gap_inclusive": True}, "12:30:00", id="the first that is too late"),
        pytest.param({"gap_from": "second"}, "12:30:00", id="from the whole second"),
    ],
)
def test_a_session_is_open_as_long_as_silences_are_measured(rule: dict[str, Any], until: str) -> None:
    ended = pl.DataFrame({"session_end": [NOON + timedelta(microseconds=250_400)]})
    result = with_open_until(ended, pl.Series([True]), SessionRule.model_validate(rule))
    assert result["open_until"].item() == datetime.fromisoformat(f"2026-01-01T{until}+00:00")


def test_sessions_of_a_user_that_start_together_are_both_last() -> None:
    together = pl.DataFrame({"user_id": ["ann", "ann"], "session_start": [NOON, NOON]})
    assert starts_last(together, PLAIN_RULE).to_list() == [True, True]
    assert starts_last(together.clear(), PLAIN_RULE).to_list() == []


def test_with_a_tools_ids_the_last_session_of_each_id_is_open_for_as_long_as_ids_may_come_back() -> None:
    rule = SessionRule.model_validate({"id": "sid", "id_within": "2h"})
    rows = [("a", 0, 1), ("b", 1, 2), ("a", 4, 5), (None, 0, 1), (None, 3, 3)]
    sessions = pl.DataFrame(
        [
            {
                "user_id": "ann",
                "tool_session_id": tool,
                "session_start": NOON + start * HOUR,
                "session_end": NOON + end * HOUR,
            }
            for tool, start, end in rows
        ]
    )
    result = with_open_until(sessions, starts_last(sessions, rule), rule)
    assert result["open_until"].to_list() == [None, NOON + 4 * HOUR, NOON + 7 * HOUR, None, NOON + 3 * HOUR + GAP]
