"""Engaged sessions, bounces and conversions: by the rule that the stream names, at the edges of each."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.sessions import session_columns
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.summarize import summarize
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, stream

COLUMNS = {**PLAIN["columns"], "amount": {"type": "float", "nullable": True}}
VIEW, PING, BUY, CLICK = "view", "ping", "buy", "click"
GA4: dict[str, Any] = {"like": "ga4"}
SNOWPLOW: dict[str, Any] = {"like": "snowplow", "pings": PING}
CONVERTS: dict[str, Any] = {"order": {"event_type": BUY, "value": "amount"}}


def session_of(events: list[tuple[float, str]], *, reverse: bool = False, **rule: Any) -> dict[str, Any]:
    """The row of a session of events: how many seconds after the first, and of which type."""
    web = stream(columns=COLUMNS, session={"views": VIEW, "conversions": CONVERTS, **rule})
    rows = [
        event("ann", DAY_ONE + timedelta(seconds=at), f"{n}", event_type=kind, amount=1.5 if kind == BUY else None)
        for n, (at, kind) in enumerate(events)
    ]
    found = summarize(sessionize(frame(rows[::-1] if reverse else rows, web), web), web)
    assert dict(found.schema) == session_columns(web)
    (row,) = found.to_dicts()
    return row


@pytest.mark.parametrize(
    ("events", "engaged", "expected"),
    [
        pytest.param([(0, VIEW), (9.999999, CLICK)], GA4, False, id="shorter than ten seconds"),
        pytest.param([(0, VIEW), (10, CLICK)], GA4, True, id="ten seconds"),
        pytest.param([(0, VIEW), (10, CLICK)], {**GA4, "after": "11s"}, False, id="a time of one's own"),
        pytest.param([(0, VIEW), (0, VIEW)], GA4, True, id="two views"),
        pytest.param([(0, CLICK), (0, CLICK)], GA4, False, id="two events that are no views"),
        pytest.param([(0, BUY)], GA4, True, id="a conversion"),
        pytest.param([(0, VIEW), (10, PING), (20, PING)], SNOWPLOW, False, id="two heartbeats"),
        pytest.param([(0, VIEW), (10, PING), (20, PING), (30, PING)], SNOWPLOW, True, id="three heartbeats"),
        pytest.param([(0, VIEW), (10, PING), (11, PING), (20, PING)], SNOWPLOW, False, id="two pings in one heartbeat"),
        pytest.param([(0, VIEW), (900, CLICK)], SNOWPLOW, False, id="long without pings"),
        pytest.param([(0, VIEW), (1, VIEW)], SNOWPLOW, True, id="two views, by heartbeats"),
        pytest.param([(0, BUY)], SNOWPLOW, True, id="a conversion, by heartbeats"),
    ],
)
def test_a_session_is_engaged_by_the_rule_that_is_named(
    events: list[tuple[float, str]], engaged: dict[str, Any], expected: bool
) -> None:
    for reverse in (False, True):
        row = session_of(events, reverse=reverse, engaged=engaged, bounce="not_engaged")
        assert (row["is_engaged"], row["is_bounce"]) == (expected, not expected)


@pytest.mark.parametrize(
    ("events", "one_event", "one_view"),
    [
        pytest.param([(0, VIEW)], True, True, id="one view"),
        pytest.param([(0, VIEW), (1, CLICK)], False, True, id="a view and a click"),
        pytest.param([(0, VIEW), (1, VIEW)], False, False, id="two views"),
        pytest.param([(0, BUY)], True, False, id="a conversion"),
        pytest.param([(0, VIEW), (5, PING)], True, True, id="a view and a passive event"),
    ],
)
def test_a_bounce_is_what_the_stream_says(events: list[tuple[float, str]], one_event: bool, one_view: bool) -> None:
    assert session_of(events, bounce="one_event", passive=[PING])["is_bounce"] is one_event
    assert session_of(events, bounce="one_view", passive=[PING])["is_bounce"] is one_view


def test_without_passive_types_every_event_counts_for_a_bounce() -> None:
    assert session_of([(0, VIEW), (1, VIEW)], bounce="one_event")["is_bounce"] is False
    assert session_of([(0, VIEW)], bounce="one_event")["is_bounce"] is True


def test_a_conversion_is_counted_and_its_values_are_added() -> None:
    row = session_of([(0, VIEW), (1, BUY), (2, BUY)])
    assert (row["order_count"], row["order_value"]) == (2, 3.0)
    row = session_of([(0, VIEW)])
    assert (row["order_count"], row["order_value"]) == (0, None)


def test_a_conversion_without_an_event_type_is_called_as_it_is() -> None:
    row = session_of([(0, VIEW), (1, BUY)], conversions={BUY: {}})
    assert row["buy_count"] == 1
    assert "buy_value" not in row


def test_a_stream_that_asks_for_none_has_no_such_columns() -> None:
    assert not {"is_engaged", "is_bounce"} & set(session_columns(stream()))
    assert session_columns(stream(session={"bounce": "one_event"}))["is_bounce"] == pl.Boolean()
