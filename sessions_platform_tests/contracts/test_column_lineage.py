"""From which source fields and columns the columns of events and sessions are made."""

from typing import Any

import pytest

from sessions_platform.contracts.column_lineage import columns_of_sessions, fields_of_events
from sessions_platform.contracts.column_types import event_types, session_types
from sessions_platform_tests.streams import PLAIN, stream

COLUMNS = {**PLAIN["columns"], "referrer": {"from": ["ref", "doc.referrer"], "nullable": True}}
BOUGHT = {"count": "event_id", "where": {"event_type": "buy"}}
OF = stream(
    columns=COLUMNS,
    enrich={"referrer": {}, "campaign": {}, "channel": {}},
    session={"columns": {"came_by": {"first": "channel"}, "bought": BOUGHT}},
)


def test_columns_of_events_follow_from_source_fields_also_by_way_of_enrichments() -> None:
    fields = fields_of_events(OF)
    assert fields["user_id"] == ["user"]
    assert fields["referrer_medium"] == fields["referrer"] == ["ref", "doc.referrer"]
    assert fields["utm_source"] == ["url"]
    assert sorted(fields["channel"]) == ["doc.referrer", "ref", "url"]
    assert set(fields) <= set(event_types(OF))


def test_columns_of_sessions_follow_from_columns_of_events() -> None:
    columns = columns_of_sessions(OF)
    assert columns["came_by"] == ["channel"]
    assert columns["bought"] == ["event_id", "event_type"]
    assert columns["entry_page"] == ["page_url"]
    assert columns["duration_seconds"] == ["event_timestamp"]
    assert set(columns) <= set(session_types(OF))
    assert {name for names in columns.values() for name in names} <= set(event_types(OF))


def test_a_person_follows_from_both_columns_of_identity() -> None:
    columns = {**PLAIN["columns"], "device": {"nullable": True}, "account": {"nullable": True}}
    identity = {"anonymous_id": "device", "user_id": "account"}
    found = columns_of_sessions(stream(columns=columns, identity=identity, session={"by": "person"}))
    assert found["user_id"] == ["user_id", "device", "account"]
    assert found["session_id"] == ["event_id", "user_id", "event_timestamp", "device", "account"]


@pytest.mark.parametrize(
    ("keys", "columns"),
    [
        ({"bounce": "one_view"}, ["event_type"]),
        ({"bounce": "not_engaged"}, ["event_type", "event_timestamp"]),
        ({"bounce": "one_event"}, ["event_id"]),
        ({"bounce": "one_event", "passive": ["ping"]}, ["event_type"]),
    ],
)
def test_outcomes_of_sessions_follow_from_what_they_count(keys: dict[str, Any], columns: list[str]) -> None:
    with_amount = {**PLAIN["columns"], "amount": {"type": "float", "nullable": True}}
    conversions = {"buy": {"value": "amount"}, "sign_up": {}}
    session = {"views": ["view"], "engaged": {"like": "ga4"}, "conversions": conversions, **keys}
    found = columns_of_sessions(stream(columns=with_amount, session=session))
    assert found["buy_count"] == found["sign_up_count"] == ["event_type"]
    assert found["buy_value"] == ["amount", "event_type"]
    assert (found["is_engaged"], found["is_bounce"]) == (["event_type", "event_timestamp"], columns)


def test_a_stream_without_pages_has_none_in_its_lineage() -> None:
    without = {name: column for name, column in PLAIN["columns"].items() if name != "page_url"}
    assert "entry_page" not in columns_of_sessions(stream(columns=without))
