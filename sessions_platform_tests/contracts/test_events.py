"""The contract is stated once: columns, rules and the schema of stored events agree."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.events import PROVENANCE, content_columns, event_columns
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.schemas.events import column_rules, events_schema, row_schema
from sessions_platform.contracts.schemas.in_pandera import broken_values
from sessions_platform.contracts.schemas.raw_events import raw_schema
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.schemas.schema import Schema
from sessions_platform.contracts.schemas.sessions import sessionized_schema, sessions_schema
from sessions_platform.contracts.sessions import session_columns, sessionized_columns
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.summarize import summarize
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, stream

EVERY_RULE: dict[str, Any] = {
    **PLAIN["columns"],
    "event_type": {"from": "type", "isin": ["view", "buy"]},
    "page_url": {"from": "url", "nullable": True, "pattern": "^https:"},
    "amount": {"type": "float", "nullable": True, "ge": 0, "lt": 100},
    "stars": {"type": "integer", "nullable": True, "isin": [1, 2, 3]},
    "new": {"type": "boolean", "nullable": True},
    "signed_up": {"type": "timestamp", "nullable": True, "formats": ["%+"]},
}
STRICT = stream(columns=EVERY_RULE)
LANDING = "2026-01-01"
PANDERAS_NAMES = {"ge": "greater_than_or_equal_to", "lt": "less_than", "le": "less_than_or_equal_to"}
UTC_MICROSECONDS = pl.Datetime("us", "UTC")


def a_row(**changes: Any) -> dict[str, Any]:
    own = {"page_url": "https://a", "amount": 1.5, "stars": 2, "new": True, "signed_up": DAY_ONE}
    return event("ann", DAY_ONE, "a", **{**own, **changes})


def stored(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=event_columns(STRICT))


def broken_checks(schema: Schema, rows: pl.DataFrame) -> set[tuple[str, str]]:
    """Columns, and the checks that fail on them, of which polars and pandera say the same."""
    cases = broken_values(schema, rows)
    assert schema.is_kept_by(rows) == (cases is None)
    return set() if cases is None else set(cases.select("column", "check").rows())


def test_events_begin_with_who_when_and_what_and_end_with_where_from() -> None:
    assert list(event_columns(STRICT)) == [
        *("event_id", "user_id", "event_timestamp", "event_type"),
        *("page_url", "amount", "stars", "new", "signed_up"),
        *("properties", "landing_partition", "source_uri", "position"),
    ]


def test_the_order_of_the_file_does_not_matter_to_the_leading_columns() -> None:
    reordered = dict(reversed(PLAIN["columns"].items()))
    leading = ["event_id", "user_id", "event_timestamp", "event_type"]
    assert list(event_columns(stream(columns=reordered)))[:4] == leading


def test_an_event_has_an_id_even_where_the_source_has_none() -> None:
    derived = stream(columns={name: column for name, column in PLAIN["columns"].items() if name != "event_id"})
    assert derived.derives_event_id
    assert list(event_columns(derived)) == list(event_columns(stream()))
    assert list(events_schema(derived).columns) == list(event_columns(derived))


def test_every_type_has_its_dtype() -> None:
    own = {name: event_columns(STRICT)[name] for name in ("event_id", "amount", "stars", "new", "signed_up")}
    assert list(own.values()) == [pl.String, pl.Float64, pl.Int64, pl.Boolean, UTC_MICROSECONDS]


def test_events_of_one_id_are_compared_by_all_columns_but_provenance() -> None:
    assert {*content_columns(STRICT)} | {*PROVENANCE} == {*event_columns(STRICT)}
    assert not {*content_columns(STRICT)} & {*PROVENANCE}


@pytest.mark.parametrize("landing_partition", [LANDING, None])
def test_each_check_of_the_schema_has_the_number_of_its_rule(landing_partition: str | None) -> None:
    """Pandera reports the number of the check that failed; the reason is looked up by it."""
    latest = STRICT.latest_moment(landing_partition) if landing_partition else None
    schema = row_schema(STRICT, landing_partition)
    for name, column in schema.pandera.columns.items():
        rules = column_rules(STRICT, name, latest)
        named = [rule.check.builtin[0] if rule.check.builtin else rule.check.text for rule in rules]
        assert [PANDERAS_NAMES.get(each, each) for each in named] == [check.name for check in column.checks]


def test_rules_read_as_the_stream_states_them() -> None:
    latest = STRICT.latest_moment(LANDING)
    texts = {(rule.code, rule.text) for name in STRICT.columns for rule in column_rules(STRICT, name, latest)}
    assert texts == {
        (Code.not_allowed, "one of view, buy"),
        (Code.pattern_mismatch, "holds the pattern ^https:"),
        (Code.out_of_range, "at least 0"),
        (Code.out_of_range, "less than 100"),
        (Code.not_allowed, "one of 1, 2, 3"),
        (Code.before_start, "not before 2026-01-01T00:00:00+00:00, the stream's start"),
        (Code.future_timestamp, "not after 2026-01-02T00:05:00+00:00, the latest in its landing partition"),
    }


def test_good_events_keep_their_contract() -> None:
    nulls = dict.fromkeys(["page_url", "amount", "stars", "new", "signed_up"])
    rows = stored(a_row(), a_row(event_id="b", **nulls))
    for schema in (events_schema(STRICT), events_schema(STRICT, LANDING)):
        assert broken_checks(schema, rows) == set()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("event_id", None),
        ("user_id", None),
        ("event_timestamp", None),
        ("event_timestamp", DAY_ONE - timedelta(microseconds=1)),
        ("event_timestamp", datetime(2026, 1, 2, 0, 5, 0, 1, tzinfo=UTC)),
        ("event_type", None),
        ("event_type", "sell"),
        ("page_url", "http://a"),
        ("amount", -0.01),
        ("amount", 100.0),
        ("stars", 4),
        ("landing_partition", "2026-01-02"),
        ("landing_partition", None),
        ("source_uri", None),
        ("position", None),
        ("position", 0),
    ],
)
def test_a_stored_event_that_breaks_the_contract_is_noticed(column: str, value: object) -> None:
    broken = broken_checks(events_schema(STRICT, LANDING), stored(a_row(), a_row(event_id="b") | {column: value}))
    assert {name for name, _ in broken} == {column}


def test_an_id_that_occurs_twice_breaks_the_contract() -> None:
    broken = broken_checks(events_schema(STRICT, LANDING), stored(a_row(), a_row()))
    assert {name for name, _ in broken} == {"event_id"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda rows: rows.drop("properties"), id="a missing column"),
        pytest.param(lambda rows: rows.with_columns(more=1), id="an additional column"),
        pytest.param(lambda rows: rows.with_columns(pl.col("stars").cast(pl.Int32)), id="a narrower type"),
        pytest.param(
            lambda rows: rows.with_columns(pl.col("event_timestamp").dt.cast_time_unit("ms")), id="milliseconds"
        ),
    ],
)
def test_a_stored_frame_of_other_columns_breaks_the_contract(change: Any) -> None:
    assert broken_checks(events_schema(STRICT), change(stored(a_row())))


# The contracts of other assets ---------------------------------------------------------------------------

REASON: dict[str, Any] = {"code": "malformed", "column": "", "rule": "is an empty line", "value": None}


def rejected(**changes: Any) -> pl.DataFrame:
    row = {
        "rejection_id": "a",
        "rows": 1,
        "landing_partition": LANDING,
        "source_uri": "a.ndjson",
        "position": 1,
        "payload": "",
        "payload_encoding": "utf-8",
        "reasons": [REASON],
        "contract_version": STRICT.contract_version,
    }
    return pl.DataFrame([row, {**row, "rejection_id": "b", **changes}], schema=REJECTED_EVENTS)


def test_good_rejected_rows_keep_their_contract() -> None:
    assert broken_checks(rejected_schema(STRICT), rejected()) == set()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("rejection_id", "a"),
        ("payload", None),
        ("payload_encoding", "latin-1"),
        ("contract_version", "another"),
        ("reasons", []),
        ("reasons", None),
        ("reasons", [{**REASON, "code": "bad_luck"}]),
        ("reasons", [REASON, {**REASON, "code": "bad_luck"}]),
        ("reasons", [{**REASON, "code": None}]),
    ],
)
def test_a_rejected_row_is_complete_and_has_reasons(column: str, value: object) -> None:
    broken = broken_checks(rejected_schema(STRICT), rejected(**{column: value}))
    assert {name for name, _ in broken} == {column}


def test_a_raw_row_is_complete() -> None:
    row = {"landing_partition": LANDING, "source_uri": "a", "position": 1, "payload": b"\xff\0"}
    rest = {"preamble": None, "line_terminator": b"\n", "header": None, "corrupt_reason": None}
    good = pl.DataFrame([{**row, **rest}], schema=RAW_EVENTS)
    assert broken_checks(raw_schema(stream()), good) == set()
    without_payload = good.with_columns(payload=pl.lit(None, pl.Binary))
    assert {name for name, _ in broken_checks(raw_schema(stream()), without_payload)} == {"payload"}


def test_the_results_of_the_transforms_keep_the_contracts_of_sessions() -> None:
    web = stream(
        columns=EVERY_RULE,
        session={"columns": {"total": {"sum": "amount"}, "pages": {"count_distinct": "page_url"}}},
    )
    events = frame([a_row(), a_row(event_id="b", page_url=None, amount=None)], web)
    cut = sessionize(events, web).select(*sessionized_columns(web))
    assert broken_checks(sessionized_schema(web), cut) == set()
    sessions = summarize(cut, web)
    assert broken_checks(sessions_schema(web), sessions) == set()
    assert dict(sessions.schema) == session_columns(web)
    assert broken_checks(sessions_schema(web), pl.concat([sessions, sessions])) == {("session_id", "field_uniqueness")}
    backwards = sessions.with_columns(session_end=pl.col("session_start") - timedelta(seconds=1))
    assert broken_checks(sessions_schema(web), backwards)
