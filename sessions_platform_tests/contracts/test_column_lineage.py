"""From which source fields and columns the columns of events and sessions are made."""

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


def test_a_stream_without_pages_has_none_in_its_lineage() -> None:
    without = {name: column for name, column in PLAIN["columns"].items() if name != "page_url"}
    assert "entry_page" not in columns_of_sessions(stream(columns=without))
