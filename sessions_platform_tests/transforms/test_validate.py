"""Each row is judged once, with all that is wrong with it, and nothing is lost on the way."""

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.events import event_columns, events_schema
from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS, rejected_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.identifiers import uuid_of
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.validate import ValidationResult, deduplicate, payload_bytes, rejections, validate
from sessions_platform_tests.streams import DAY_ONE, PLAIN, stream

LANDING = "2026-01-01"
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = "2026-01-01T12:00:00Z"
DERIVED = {name: column for name, column in PLAIN["columns"].items() if name != "event_id"}


def row(**fields: Any) -> dict[str, Any]:
    """A good payload of the plain stream, with other fields."""
    return {"id": "1", "user": "ann", "ts": NOON, "type": "view", **fields}


def raw(*payloads: dict[str, Any] | bytes, uri: str = "a.ndjson", landing: str = LANDING) -> pl.DataFrame:
    rows = [
        {
            "landing_partition": landing,
            "source_uri": uri,
            "position": place,
            "payload": payload if isinstance(payload, bytes) else json.dumps(payload).encode(),
            "header": None,
            "corrupt_reason": None,
            "preamble": None,
            "line_terminator": b"\n",
        }
        for place, payload in enumerate(payloads, start=1)
    ]
    return pl.DataFrame(rows, schema=RAW_EVENTS)


def validated(of: Stream, *payloads: dict[str, Any] | bytes, landing: str = LANDING) -> ValidationResult:
    return validate(parse(raw(*payloads, landing=landing), of), of, landing)


def reasons(validation: ValidationResult) -> list[set[tuple[str, str]]]:
    """Code and column of each rejected row's reasons."""
    return [{(reason["code"], reason["column"]) for reason in row} for row in validation.rejected["reasons"].to_list()]


def the_reasons(validation: ValidationResult) -> list[tuple[str, ...]]:
    """Code, column, rule and value of the one rejected row's reasons."""
    (found,) = validation.rejected["reasons"].to_list()
    return sorted(tuple(reason.values()) for reason in found)


def with_columns(**columns: Any) -> Stream:
    return stream(columns={**PLAIN["columns"], **columns})


RULES = with_columns(
    event_type={"from": "type", "isin": ["view", "buy"]},
    page_url={"from": "url", "nullable": True, "pattern": "^https:"},
    amount={"type": "float", "nullable": True, "ge": 0, "lt": 100},
    stars={"type": "integer", "nullable": True, "isin": [1, 2, 3]},
    new={"type": "boolean", "nullable": True},
    signed_up={"type": "timestamp", "nullable": True, "formats": ["%Y-%m-%d"], "timezone": "Europe/Berlin"},
)


# Reasons -------------------------------------------------------------------------------------------------


def test_a_good_row_becomes_a_typed_event() -> None:
    validation = validated(RULES, row(url="https://a", amount=1.5, stars=2, new=True, signed_up="2026-07-01", ref="x"))
    assert validation.rejected.is_empty()
    (event,) = validation.events.to_dicts()
    assert event == {
        "event_id": "1",
        "user_id": "ann",
        "event_timestamp": DAY_ONE + timedelta(hours=12),
        "event_type": "view",
        "page_url": "https://a",
        "amount": 1.5,
        "stars": 2,
        "new": True,
        "signed_up": datetime(2026, 6, 30, 22, tzinfo=UTC),
        "properties": '{"ref":"x"}',
        "landing_partition": LANDING,
        "source_uri": "a.ndjson",
        "position": 1,
    }


def test_nulls_of_nullable_columns_break_no_rule() -> None:
    validation = validated(RULES, row(), row(id="2", url=None, amount=None, stars=None, new=None, signed_up=None))
    assert validation.rejected.is_empty()
    own = ["page_url", "amount", "stars", "new", "signed_up"]
    assert validation.events.select(own).null_count().row(0) == (2,) * len(own)


TOO_EARLY = "not before 2026-01-01T00:00:00+00:00, the stream's start"
TOO_LATE = "not after 2026-01-02T00:05:00+00:00, the latest in its landing partition"
LATE = "2026-01-02T00:05:00.000001Z"
BAD_TIME = "a timestamp of the formats %+, epoch_ms; in UTC if it states no zone"
BAD_DAY = "a timestamp of the formats %Y-%m-%d; in Europe/Berlin if it states no zone"


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (row(user=None), ("missing_identity", "user_id", "not null", None)),
        (row(user=""), ("missing_identity", "user_id", "not null", None)),
        (row(id=None), ("missing_value", "event_id", "not null", None)),
        (row(ts=None), ("missing_value", "event_timestamp", "not null", None)),
        (row(type=None), ("missing_value", "event_type", "not null", None)),
        (row(amount="a lot"), ("wrong_type", "amount", "a finite number (type float)", "a lot")),
        (row(amount=True), ("wrong_type", "amount", "a finite number (type float)", "true")),
        (row(amount="NaN"), ("wrong_type", "amount", "a finite number (type float)", "NaN")),
        (row(amount="inf"), ("wrong_type", "amount", "a finite number (type float)", "inf")),
        (row(amount="-Infinity"), ("wrong_type", "amount", "a finite number (type float)", "-Infinity")),
        (row(amount="1e999"), ("wrong_type", "amount", "a finite number (type float)", "1e999")),
        (row(stars=2.5), ("wrong_type", "stars", "a whole number of 64 bits (type integer)", "2.5")),
        (row(stars="two"), ("wrong_type", "stars", "a whole number of 64 bits (type integer)", "two")),
        (row(stars=2**63), ("wrong_type", "stars", "a whole number of 64 bits (type integer)", str(2**63))),
        (row(new="perhaps"), ("wrong_type", "new", "true or false (type boolean)", "perhaps")),
        (row(new=1), ("wrong_type", "new", "true or false (type boolean)", "1")),
        (row(amount=-1), ("out_of_range", "amount", "at least 0", "-1")),
        (row(amount=100), ("out_of_range", "amount", "less than 100", "100")),
        (row(stars=4), ("not_allowed", "stars", "one of 1, 2, 3", "4")),
        (row(type="sell"), ("not_allowed", "event_type", "one of view, buy", "sell")),
        (row(url="ftp://a"), ("pattern_mismatch", "page_url", "holds the pattern ^https:", "ftp://a")),
        (row(ts="yesterday"), ("bad_timestamp", "event_timestamp", BAD_TIME, "yesterday")),
        (row(signed_up="1.7.2026"), ("bad_timestamp", "signed_up", BAD_DAY, "1.7.2026")),
        (
            row(ts="2025-12-31T23:59:59.999999Z"),
            ("before_start", "event_timestamp", TOO_EARLY, "2025-12-31T23:59:59.999999Z"),
        ),
        (
            row(ts=LATE),
            ("future_timestamp", "event_timestamp", TOO_LATE, LATE),
        ),
        (row(user="a\0"), ("bad_text", "user_id", "holds U+0000", '"a\\u0000"')),
        (row(user={"name": "ann"}), ("wrong_type", "user_id", "a JSON object is no string", '{"name": "ann"}')),
        (b"", ("malformed", "", "is an empty line", None)),
        (b"[1]", ("malformed", "", "is a JSON array, no object", None)),
    ],
)  # fmt: skip
def test_a_broken_rule_gives_its_code_with_column_rule_and_value(
    payload: dict[str, Any] | bytes, expected: tuple[str | None, ...]
) -> None:
    validation = validated(RULES, payload)
    assert validation.events.is_empty()
    assert the_reasons(validation) == [expected]


def test_a_row_has_all_its_reasons() -> None:
    everything_wrong = row(user=None, ts="soon", type="sell", url="ftp", amount=-1, stars="x", new="y", signed_up="z")
    (found,) = reasons(validated(RULES, everything_wrong))
    assert found == {
        ("missing_identity", "user_id"),
        ("bad_timestamp", "event_timestamp"),
        ("not_allowed", "event_type"),
        ("pattern_mismatch", "page_url"),
        ("out_of_range", "amount"),
        ("wrong_type", "stars"),
        ("wrong_type", "new"),
        ("bad_timestamp", "signed_up"),
    }


def test_several_rules_of_one_column_are_all_told() -> None:
    narrow = with_columns(page_url={"from": "url", "isin": ["a", "b"], "pattern": "^a"})
    (found,) = reasons(validated(narrow, row(url="c")))
    assert found == {("not_allowed", "page_url"), ("pattern_mismatch", "page_url")}


def test_reasons_stay_with_their_rows() -> None:
    """Whatever is wrong with the rows before, between and behind."""
    validation = validated(
        RULES, b"{", row(), row(amount=-1), row(user=None), b"", row(id="2"), row(amount="x"), row(stars=9)
    )
    told = dict(zip(validation.rejected["position"].to_list(), reasons(validation), strict=True))
    assert told == {
        1: {("malformed", "")},
        3: {("out_of_range", "amount")},
        4: {("missing_identity", "user_id")},
        5: {("malformed", "")},
        7: {("wrong_type", "amount")},
        8: {("not_allowed", "stars")},
    }
    assert validation.events["position"].to_list() == [2, 6]


@pytest.mark.parametrize("value", ["x", 1.5, {"a": 1}, [1], "a\0", "\ud800"])
def test_a_wrong_value_is_not_also_missing(value: Any) -> None:
    required = with_columns(stars={"type": "integer"})
    (found,) = reasons(validated(required, row(stars=value)))
    assert [column for _, column in found] == ["stars"]
    assert "missing_value" not in {code for code, _ in found}


def test_a_row_that_cannot_be_read_at_all_has_no_other_reasons() -> None:
    broken = raw(b"{").with_columns(corrupt_reason=pl.lit("the file ends too early"))
    validation = validate(parse(pl.concat([broken, raw(b"null")]), RULES), RULES, LANDING)
    assert reasons(validation) == [{("unreadable_file", "")}, {("malformed", "")}]


def test_fields_that_no_column_names_may_be_refused() -> None:
    closed = stream(extra_columns="reject")
    assert reasons(validated(closed, row(), row(id="2", ref="x", user=None))) == [
        {("unexpected_column", "ref"), ("missing_identity", "user_id")}
    ]


def test_long_values_are_quoted_in_part_and_payloads_whole() -> None:
    validation = validated(RULES, row(type="é" * 5000))
    ((_, _, _, value),) = the_reasons(validation)
    assert value == "é" * 200
    assert validation.rejected["payload"].to_list() == raw(row(type="é" * 5000))["payload"].to_list()


def test_nothing_to_judge_is_judged() -> None:
    validation = validated(RULES)
    assert (validation.events.height, validation.rejected.height) == (0, 0)
    events, conflicts, duplicates = deduplicate(validation.events, RULES, {})
    assert (events.height, conflicts.height, duplicates) == (0, 0, 0)
    assert dict(events.schema) == event_columns(RULES)
    assert dict(rejections(validation.rejected, RULES).schema) == REJECTED_EVENTS


# Timestamps ----------------------------------------------------------------------------------------------


def times(text: Any, *formats: str, timezone: str = "UTC", of: str = "seen") -> datetime | str:
    """What a timestamp is read as, or the code that it is rejected with. The column `seen` has no bounds."""
    column = {"from": of, "formats": formats, "timezone": timezone}
    timed = with_columns(**{of: {"type": "timestamp", **column}})
    validation = validated(timed, row(**{of: text, "ts": NOON} if of == "seen" else {of: text}))
    if validation.events.height:
        return validation.events[of][0]
    ((code, blamed),) = reasons(validation)[0]
    assert blamed == of
    return code


@pytest.mark.parametrize(
    ("text", "fmt", "expected"),
    [
        (NOON, "%+", "2026-01-01T12:00:00"),
        ("2026-01-01 12:00:00+00:00", "%+", "2026-01-01T12:00:00"),
        ("2026-01-01T12:00:00.123456789-05:30", "%+", "2026-01-01T17:30:00.123456"),
        ("2026-01-01T12:00:00+0100", "%Y-%m-%dT%H:%M:%S%z", "2026-01-01T11:00:00"),
        ("2026-01-01T12:00:00+01:00", "%Y-%m-%dT%H:%M:%S%:z", "2026-01-01T11:00:00"),
        ("2026-01-01", "%Y-%m-%d", "2026-01-01T00:00:00"),
        ("01/12/25 7:05 PM", "%d/%m/%y %I:%M %p", "2025-12-01T19:05:00"),
        (1767268800, "epoch_s", "2026-01-01T12:00:00"),
        ("1767268800", "epoch_s", "2026-01-01T12:00:00"),
        (1767268800.123456, "epoch_s", "2026-01-01T12:00:00.123456"),
        ("1767268800.1234567", "epoch_s", "2026-01-01T12:00:00.123457"),
        (1767268800123, "epoch_ms", "2026-01-01T12:00:00.123"),
        (1767268800123.456, "epoch_ms", "2026-01-01T12:00:00.123456"),
        (1767268800123456, "epoch_us", "2026-01-01T12:00:00.123456"),
        (1.7672688e9, "epoch_s", "2026-01-01T12:00:00"),
        ("1.7672688e9", "epoch_s", "2026-01-01T12:00:00"),
        (0, "epoch_ms", "1970-01-01T00:00:00"),
        (-1, "epoch_ms", "1969-12-31T23:59:59.999"),
        (-1.5, "epoch_s", "1969-12-31T23:59:58.5"),
    ],
)  # fmt: skip
def test_a_timestamp_of_a_known_format_is_read_to_the_microsecond(text: Any, fmt: str, expected: str) -> None:
    assert times(text, fmt) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        ("2026-01-01T12:00:00", "%+"),
        ("2026-02-30T12:00:00Z", "%+"),
        ("2026-01-01T24:00:00Z", "%+"),
        ("2026-01-01 12:00:00.5", "%Y-%m-%d %H:%M:%S"),
        ("", "epoch_ms"),
        ("0x10", "epoch_ms"),
        ("NaN", "epoch_ms"),
        ("inf", "epoch_ms"),
        (True, "epoch_ms"),
        (2**63 - 1, "epoch_us"),
        (-(2**63), "epoch_us"),
        (2**63 - 1, "epoch_ms"),
        (2**63 // 1000 + 1, "epoch_ms"),
        (2**64 // 1000 + 1_767_268_800_000, "epoch_ms"),  # would be noon, if it wrapped
        (2**64 // 10**6 + 1_767_268_800, "epoch_s"),
        (-(2**63), "epoch_s"),
        (10**30, "epoch_s"),
        (1e300, "epoch_s"),
        (-1e300, "epoch_s"),
    ],
)  # fmt: skip
def test_what_no_format_reads_is_a_bad_timestamp(text: Any, fmt: str) -> None:
    assert times(text, fmt) == "bad_timestamp"


@pytest.mark.parametrize(
    ("text", "fmt"),
    [
        pytest.param(253_402_300_800_000, "epoch_ms", id="the first moment of the year 10000"),
        pytest.param(253_402_300_800, "epoch_s", id="the same in seconds"),
        pytest.param(-62_135_596_800_001, "epoch_ms", id="the last moment before the year 1"),
        pytest.param(-200_000_000_000, "epoch_s", id="some 6000 years ago"),
        pytest.param("+10000-01-01T00:00:00Z", "%+", id="a year of five digits"),
        pytest.param("-0001-01-01T00:00:00Z", "%+", id="a year below zero"),
        pytest.param("0000-12-31T23:59:59Z", "%+", id="the year 0"),
        pytest.param("9999-12-31T23:59:59-01:00", "%+", id="in UTC the year 10000"),
    ],
)
def test_a_time_outside_of_all_calendars_is_a_bad_timestamp(text: Any, fmt: str) -> None:
    """Not of the future or the past: no moment stands for it in Python, nor in most that reads the table."""
    assert times(text, fmt, of="event_timestamp") == "bad_timestamp"
    assert times(text, fmt) == "bad_timestamp"


def test_the_first_format_that_reads_it_wins() -> None:
    assert times("03/04/2025", "%d/%m/%Y", "%m/%d/%Y") == datetime(2025, 4, 3, tzinfo=UTC)
    assert times("03/04/2025", "%m/%d/%Y", "%d/%m/%Y") == datetime(2025, 3, 4, tzinfo=UTC)


def test_each_row_may_have_a_format_of_its_own() -> None:
    validation = validated(stream(), row(), row(id="2", ts=1767268800000), row(id="3", ts="noon"), row(id="4", ts=NOON))
    assert validation.events["event_timestamp"].to_list() == [DAY_ONE + timedelta(hours=12)] * 3


def as_zoneinfo_has_it(naive: datetime, timezone: str) -> datetime | None:
    """The earlier of two moments; None where the clocks never showed that time."""
    moment = naive.replace(tzinfo=ZoneInfo(timezone), fold=0).astimezone(UTC)
    return moment if moment.astimezone(ZoneInfo(timezone)).replace(tzinfo=None) == naive else None


TURNS = {
    "Europe/Berlin": ["2025-03-30 02:00:00", "2025-10-26 02:00:00", "2025-10-26 03:00:00"],
    "America/Sao_Paulo": ["2018-11-04 00:00:00", "2018-02-17 23:00:00", "2018-02-18 00:00:00"],
    "Asia/Kathmandu": ["2025-07-01 00:00:00"],
    "Pacific/Apia": ["2011-12-30 00:00:00", "2011-12-31 00:00:00"],
    "Australia/Lord_Howe": ["2025-04-06 01:30:00", "2025-10-05 02:00:00"],
}
CLOCK = "%Y-%m-%d %H:%M:%S%.6f"
local_times = st.sampled_from([(zone, turn) for zone, turns in TURNS.items() for turn in turns])


@settings(max_examples=80)
@given(local_times, st.integers(-4 * 3600, 4 * 3600), st.integers(-1, 1))
@example(("Europe/Berlin", "2025-03-30 02:00:00"), 0, 0)
@example(("Europe/Berlin", "2025-03-30 02:00:00"), 3600, -1)
@example(("Europe/Berlin", "2025-10-26 02:00:00"), 0, 0)
@example(("America/Sao_Paulo", "2018-11-04 00:00:00"), 0, 0)
@example(("Pacific/Apia", "2011-12-30 00:00:00"), 3600, 0)
def test_a_local_time_is_the_earlier_moment_or_none_at_all(turn: tuple[str, str], seconds: int, micros: int) -> None:
    zone, text = turn
    local = datetime.fromisoformat(text) + timedelta(seconds=seconds, microseconds=micros)
    read = times(local.isoformat(" ", "microseconds"), CLOCK, timezone=zone)
    assert read == (as_zoneinfo_has_it(local, zone) or "bad_timestamp")


def test_naive_times_are_nonexistent_or_ambiguous_as_the_design_has_it() -> None:
    berlin = ("%Y-%m-%d %H:%M:%S",)
    assert times("2025-03-30 02:30:00", *berlin, timezone="Europe/Berlin") == "bad_timestamp"
    assert times("2025-10-26 02:30:00", *berlin, timezone="Europe/Berlin") == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)


FIRST_MOMENT = -62_135_596_800 * 10**6  # of Python's calendar, in microseconds
AFTER_THE_LAST = 253_402_300_800 * 10**6
INT64 = st.integers(-(2**63), 2**63 - 1)
AROUND_NOW = st.integers(-(10**13), 10**13)


@settings(max_examples=80)
@given(st.sampled_from([("epoch_s", 10**6), ("epoch_ms", 1000), ("epoch_us", 1)]), INT64 | AROUND_NOW)
def test_an_epoch_is_exact_or_refused_and_never_wraps(unit: tuple[str, int], number: int) -> None:
    fmt, microseconds = unit
    exact = number * microseconds
    if FIRST_MOMENT <= exact < AFTER_THE_LAST:
        assert times(number, fmt) == EPOCH + exact * MICROSECOND
    elif abs(exact) > 2 * AFTER_THE_LAST:  # what is nearer is told above
        assert times(number, fmt) == "bad_timestamp"


@pytest.mark.parametrize(
    ("ts", "code"),
    [
        ("2026-01-01T00:00:00Z", None),
        ("2025-12-31T23:59:59.999999Z", "before_start"),
        ("2026-01-02T00:05:00Z", None),
        ("2026-01-02T00:05:00.000001Z", "future_timestamp"),
        ("1000-01-01T00:00:00Z", "before_start"),
        ("9999-12-31T23:59:59.999999Z", "future_timestamp"),
    ],
)
def test_bounds_in_time_hold_to_the_microsecond(ts: str, code: str | None) -> None:
    expected = [] if code is None else [{(code, "event_timestamp")}]
    assert reasons(validated(stream(), row(ts=ts))) == expected


def test_the_latest_moment_goes_by_where_a_row_landed_and_not_by_the_clock() -> None:
    late = row(ts="2026-01-09T00:04:59Z")
    assert reasons(validated(stream(), late)) == [{("future_timestamp", "event_timestamp")}]
    assert reasons(validated(stream(), late, landing="2026-01-08")) == []


def test_a_stream_that_is_over_takes_no_events_from_its_end_on() -> None:
    over = stream(end="2026-01-02")
    assert reasons(validated(over, row(ts="2026-01-01T23:59:59.999999Z"))) == []
    assert reasons(validated(over, row(ts="2026-01-02T00:00:00Z"))) == [{("future_timestamp", "event_timestamp")}]


def test_the_start_is_a_midnight_of_the_sessions_timezone() -> None:
    berlin = stream(session={"timezone": "Europe/Berlin"})
    assert reasons(validated(berlin, row(ts="2025-12-31T23:00:00Z"))) == []
    assert reasons(validated(berlin, row(ts="2025-12-31T22:59:59.999999Z"))) == [{("before_start", "event_timestamp")}]


# Duplicates ----------------------------------------------------------------------------------------------


class Settled:
    def __init__(self, events: pl.DataFrame, conflicts: pl.DataFrame, duplicates: int) -> None:
        self.events, self.conflicts, self.duplicates = events, conflicts, duplicates

    @property
    def kept(self) -> list[tuple[str, int]]:
        """Where the kept events stood."""
        return sorted(self.events.select("source_uri", "position").rows())

    @property
    def told(self) -> dict[tuple[str, int], set[tuple[str, str, str]]]:
        """Where the conflicts stood, and code, column and value of their reasons."""
        return {
            (uri, at): {(reason["code"], reason["column"], reason["value"]) for reason in listed}
            for uri, at, listed in self.conflicts.rows()
        }


def settled(of: Stream, *files: pl.DataFrame, digests: dict[str, str] | None = None, landing: str = LANDING) -> Settled:
    frames = [validate(parse(file, of), of, landing).events for file in files]
    uris = {file["source_uri"][0]: file["source_uri"][0] for file in files}
    return Settled(*deduplicate(pl.concat(frames), of, digests or uris))


def test_the_first_of_equal_copies_is_kept_and_the_others_are_counted() -> None:
    result = settled(stream(), raw(row(), uri="b"), raw(row(id="2"), row(), row(), uri="a"))
    assert (result.kept, result.told, result.duplicates) == ([("a", 1), ("a", 2)], {}, 2)


def test_a_copy_of_other_content_is_a_conflict() -> None:
    result = settled(stream(), raw(row(type="buy"), row(), uri="b"), raw(row(), uri="a"))
    assert (result.kept, result.duplicates) == ([("a", 1)], 1)
    assert result.told == {("b", 1): {("conflicting_duplicate", "event_id", "1")}}


@pytest.mark.parametrize(
    "other",
    [{"user": "bob"}, {"ts": "2026-01-01T12:00:00.000001Z"}, {"url": "x"}, {"url": ""}, {"extra": 1}],
)
def test_content_is_all_that_an_event_says(other: dict[str, Any]) -> None:
    result = settled(stream(), raw(row(), row(**other)))
    assert (result.kept, set(result.told), result.duplicates) == ([("a.ndjson", 1)], {("a.ndjson", 2)}, 0)


def test_the_same_content_in_other_words_is_a_copy() -> None:
    reworded = b'{"type": "view",  "user": "ann", "ts": 1767268800000, "url": null, "id": "1"}'
    result = settled(stream(), raw(row(), reworded))
    assert (result.told, result.duplicates) == ({}, 1)


def test_events_come_out_in_time_with_ties_by_id() -> None:
    rows = [row(id="b"), row(id="c", ts="2026-01-01T11:00:00Z"), row(id="a")]
    assert settled(stream(), raw(*rows)).events["event_id"].to_list() == ["c", "a", "b"]


def test_a_sequence_orders_simultaneous_events_and_nulls_come_last() -> None:
    ordered = stream(columns={**PLAIN["columns"], "step": {"type": "integer", "nullable": True}}, sequence="step")
    rows = [row(id="a", step=10), row(id="b", step=9), row(id="c"), row(id="d", step=-1)]
    assert settled(ordered, raw(*rows)).events["event_id"].to_list() == ["d", "b", "a", "c"]


def test_identical_lines_stay_separate_events_with_derived_ids() -> None:
    result = settled(stream(columns=DERIVED), raw(row(), row(), uri="a"), raw(row(), uri="b"))
    assert (len(result.kept), result.told, result.duplicates) == (3, {}, 0)
    assert result.events["event_id"].n_unique() == 3
    assert all(str(uuid.UUID(name)) == name for name in result.events["event_id"])


def test_a_file_of_the_same_bytes_counts_once() -> None:
    derived = stream(columns=DERIVED)
    alone = settled(derived, raw(row(), row(), uri="a"))
    same = {"a": "digest", "b": "digest", "c": "other"}
    with_a_copy = settled(
        derived, raw(row(), row(), uri="a"), raw(row(), row(), uri="b"), raw(row(), uri="c"), digests=same
    )
    assert with_a_copy.kept == [("a", 1), ("a", 2), ("c", 1)]
    assert with_a_copy.duplicates == 2
    assert set(alone.events["event_id"]) < set(with_a_copy.events["event_id"])


def test_across_landing_partitions_identical_lines_are_one_event() -> None:
    derived = stream(columns=DERIVED)
    first = settled(derived, raw(row(), row(), uri="a"))
    second = settled(derived, raw(row(), row(), uri="z", landing="2026-01-02"), landing="2026-01-02")
    assert first.events["event_id"].to_list() == second.events["event_id"].to_list()


def test_a_derived_id_does_not_hang_on_what_else_landed() -> None:
    derived = stream(columns=DERIVED)
    alone = settled(derived, raw(row(), uri="b"))
    among = settled(derived, raw(row(type="buy"), b"{", row(user="bob"), uri="a"), raw(row(), uri="b"))
    assert set(alone.events["event_id"]) < set(among.events["event_id"])


def test_ids_are_made_of_md5_over_parts() -> None:
    """As PostgreSQL has it: md5(concat_ws(U+001F, 'ann', 'é'))::uuid."""
    assert uuid_of("ann", "é") == "7f42a325-b5bc-aa85-49bd-68a5185b6a7d"


def test_a_unique_column_keeps_the_first_and_tells_the_others() -> None:
    once = with_columns(order={"nullable": True, "unique": True})
    rows = [row(order="x"), row(id="2", order="y"), row(id="3"), row(id="4"), row(id="5", order="x")]
    result = settled(once, raw(*rows))
    assert [at for _, at in result.kept] == [1, 2, 3, 4]
    assert result.told == {("a.ndjson", 5): {("conflicting_duplicate", "order", "x")}}


def test_a_copy_does_not_conflict_with_itself_over_a_unique_column() -> None:
    once = with_columns(order={"nullable": True, "unique": True})
    result = settled(once, raw(row(order="x"), row(order="x")))
    assert (len(result.kept), result.told, result.duplicates) == (1, {}, 1)


def test_a_row_that_repeats_two_unique_values_is_told_both() -> None:
    twice = with_columns(order={"unique": True}, basket={"unique": True})
    result = settled(twice, raw(row(order="x", basket="y"), row(id="2", order="x", basket="y")))
    assert {column for _, column, _ in result.told["a.ndjson", 2]} == {"order", "basket"}


def test_a_unique_timestamp_is_told_as_text() -> None:
    once = with_columns(seen={"type": "timestamp", "formats": ["%+"], "unique": True})
    result = settled(once, raw(row(seen=NOON), row(id="2", seen=NOON)))
    ((_, _, value),) = result.told["a.ndjson", 2]
    assert value.startswith("2026-01-01 12:00:00")


# The dead-letter queue -----------------------------------------------------------------------------------

PAYLOADS = [
    b"",
    b"{",
    "é€😀".encode(),
    b"\xff\xfe",
    b"a\0b",
    b"\xed\xa0\x80",
    b"\\N",
    b'"',
    b"\r\n\t ",
    b"\xef\xbb\xbf{}",
]


def rejected_rows(*payloads: bytes, of: Stream | None = None, uri: str = "a") -> pl.DataFrame:
    of = of or stream()
    return rejections(validate(parse(raw(*payloads, uri=uri), of), of, LANDING).rejected, of)


def test_payloads_are_kept_byte_for_byte_as_text_where_they_can_be() -> None:
    rows = rejected_rows(*PAYLOADS)
    kept = [payload_bytes(payload, encoding) for payload, encoding in rows.select("payload", "payload_encoding").rows()]
    assert kept == PAYLOADS
    assert [at for at, encoding in enumerate(rows["payload_encoding"]) if encoding == "base64"] == [3, 4, 5]
    rejected_schema(stream()).validate(rows, lazy=True)


@example([b"\xff"])
@given(st.lists(st.binary(max_size=20) | st.text(max_size=20).map(str.encode), max_size=6))
@settings(max_examples=50)
def test_any_bytes_come_back(payloads: list[bytes]) -> None:
    rows = raw(*payloads).with_columns(reasons=pl.lit([], REASONS))
    dead = rejections(rows, stream())
    assert [payload_bytes(*row) for row in dead.select("payload", "payload_encoding").rows()] == payloads
    for payload, encoding in dead.select("payload", "payload_encoding").rows():
        assert "\0" not in payload
        assert encoding == "utf-8" or base64.b64decode(payload, validate=True) is not None


def test_a_rejection_keeps_its_id_whatever_the_contract_says() -> None:
    before = rejected_rows(b"{", b"[", b"[")
    after = rejected_rows(b"{", b"[", b"[", of=RULES)
    assert before["rejection_id"].to_list() == after["rejection_id"].to_list()
    assert before["rejection_id"].n_unique() == 3
    assert set(before["contract_version"]) != set(after["contract_version"])


def test_another_place_payload_or_stream_is_another_rejection() -> None:
    one = rejected_rows(b"{")
    others = [rejected_rows(b"{", uri="b"), rejected_rows(b"["), rejected_rows(b"{", of=stream(name="app"))]
    assert len({name for frame in [one, *others] for name in frame["rejection_id"]}) == 4


# Whatever comes ------------------------------------------------------------------------------------------

words = st.sampled_from(
    [
        "",
        "a",
        "b",
        "view",
        "buy",
        "https://x",
        NOON,
        "2026-01-01T13:00:00+02:00",
        "nan",
        "-inf",
        "1e400",
        "\0",
        "\ud800",
        "é",
    ]
)
numbers = st.integers(-5, 5) | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
timestamps = words | numbers | st.integers(0, 10**12)
values = (
    st.none()
    | st.booleans()
    | words
    | numbers
    | st.lists(words, max_size=1)
    | st.dictionaries(words, words, max_size=1)
)
good = st.fixed_dictionaries(
    {
        "id": st.sampled_from("abc"),
        "user": st.sampled_from(["ann", "bob"]),
        "ts": st.just(NOON),
        "type": st.just("view"),
    }
)
others = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(["id", "user", "type", "url", "amount", "stars", "new", "signed_up", "extra"], values)
    | {"ts": timestamps},
)
payloads = (
    st.builds(lambda fields, changed: json.dumps({**fields, **changed}).encode(), good, others)
    | st.binary(max_size=12)
    | st.sampled_from([b"", b"{}", b"[]", b"null", b'{"id":"a"', b'{"ts":NaN}', b'{"user":"\\ud83d"}'])
)
STREAMS = [
    RULES,
    stream(columns=DERIVED),
    stream(extra_columns="reject"),
    with_columns(page_url={"from": "url", "nullable": True, "unique": True}),
]


@example(RULES, [b"\xff"], [], False)
@settings(max_examples=60)
@given(st.sampled_from(STREAMS), st.lists(payloads, max_size=12), st.lists(payloads, max_size=4), st.booleans())
def test_every_row_is_judged_once_and_both_contracts_are_kept(
    of: Stream, first: list[bytes], second: list[bytes], same_bytes: bool
) -> None:
    files = [raw(*first, uri="a"), raw(*(first if same_bytes else second), uri="b")]
    validations = [validate(parse(file, of), of, LANDING) for file in files]
    digests = {"a": "same", "b": "same" if same_bytes else "other"}
    events, conflicts, duplicates = deduplicate(pl.concat(v.events for v in validations), of, digests)

    every = pl.concat(files)
    refused = pl.concat(
        [
            *(validation.rejected for validation in validations),
            every.join(conflicts, on=["source_uri", "position"]).select(validations[0].rejected.columns),
        ]
    )
    rejected = rejections(refused, of)
    assert events.height + rejected.height + duplicates == every.height
    assert events.height + conflicts.height + duplicates == sum(validation.events.height for validation in validations)
    events_schema(of, LANDING).validate(events, lazy=True)
    rejected_schema(of).validate(rejected, lazy=True)

    came_as = dict(zip(every.select("source_uri", "position").rows(), every["payload"], strict=True))
    for uri, at, payload, encoding in rejected.select("source_uri", "position", "payload", "payload_encoding").rows():
        assert payload_bytes(payload, encoding) == came_as[uri, at]
    places = [
        *events.select("source_uri", "position").rows(),
        *rejected.select("source_uri", "position").rows(),
    ]
    assert len(set(places)) == len(places)
    if same_bytes and of.derives_event_id:
        assert set(events["source_uri"]) <= {"a"}
