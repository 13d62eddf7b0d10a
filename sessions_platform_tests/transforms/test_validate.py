"""Each row is validated once, has all of its reasons, and none is lost."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.deduplicate import deduplicate
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.rejections import payload_bytes, rejections
from sessions_platform.transforms.stretches import ROWS
from sessions_platform.transforms.validate import ValidationResult, validate
from sessions_platform_tests.streams import DAY_ONE, stream
from sessions_platform_tests.transforms.rows import (
    DERIVED,
    LANDING,
    NOON,
    RULES,
    raw,
    reasons,
    row,
    validated,
    with_columns,
)


def the_reasons(validation: ValidationResult) -> list[tuple[str, ...]]:
    """Code, column, rule and value of the one rejected row's reasons."""
    (row_reasons,) = validation.rejected["reasons"].to_list()
    return sorted(tuple(reason.values()) for reason in row_reasons)


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
        (b"[1]", ("malformed", "", "is a JSON array, no object: set format: json", None)),
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
    (row_reasons,) = reasons(validated(RULES, everything_wrong))
    assert row_reasons == {
        ("missing_identity", "user_id"),
        ("bad_timestamp", "event_timestamp"),
        ("not_allowed", "event_type"),
        ("pattern_mismatch", "page_url"),
        ("out_of_range", "amount"),
        ("wrong_type", "stars"),
        ("wrong_type", "new"),
        ("bad_timestamp", "signed_up"),
    }


def test_all_broken_rules_of_one_column_are_reasons() -> None:
    narrow = with_columns(page_url={"from": "url", "isin": ["a", "b"], "pattern": "^a"})
    (row_reasons,) = reasons(validated(narrow, row(url="c")))
    assert row_reasons == {("not_allowed", "page_url"), ("pattern_mismatch", "page_url")}


def test_reasons_stay_with_their_rows() -> None:
    """Whatever the reasons of the rows before, between and after them."""
    validation = validated(
        RULES, b"{", row(), row(amount=-1), row(user=None), b"", row(id="2"), row(amount="x"), row(stars=9)
    )
    by_position = dict(zip(validation.rejected["position"].to_list(), reasons(validation), strict=True))
    assert by_position == {
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
    (row_reasons,) = reasons(validated(required, row(stars=value)))
    assert [column for _, column in row_reasons] == ["stars"]
    assert "missing_value" not in {code for code, _ in row_reasons}


def test_a_row_that_cannot_be_read_at_all_has_no_other_reasons() -> None:
    broken = raw(b"{").with_columns(corrupt_reason=pl.lit("the file ends too early"))
    validation = validate(parse(pl.concat([broken, raw(b"null")]), RULES), RULES, LANDING)
    assert reasons(validation) == [{("unreadable_file", "")}, {("malformed", "")}]


def test_rows_with_fields_that_no_column_names_may_be_rejected() -> None:
    closed = stream(extra_columns="reject")
    assert reasons(validated(closed, row(), row(id="2", ref="x", user=None))) == [
        {("unexpected_column", "ref"), ("missing_identity", "user_id")}
    ]


def test_long_values_are_quoted_in_part_and_payloads_whole() -> None:
    validation = validated(RULES, row(type="é" * 5000))
    ((_, _, _, value),) = the_reasons(validation)
    assert value == "é" * 200
    assert validation.rejected["payload"].to_list() == raw(row(type="é" * 5000))["payload"].to_list()


def test_no_rows_give_empty_frames_of_the_right_columns() -> None:
    validation = validated(RULES)
    assert (validation.events.height, validation.rejected.height) == (0, 0)
    events, conflicts, duplicates, _ = deduplicate(validation.events, RULES, {})
    assert (events.height, conflicts.height, duplicates) == (0, 0, 0)
    assert dict(events.schema) == event_columns(RULES)
    assert dict(rejections(validation.rejected, RULES).schema) == REJECTED_EVENTS


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
def test_bounds_in_time_are_exact_to_the_microsecond(ts: str, code: str | None) -> None:
    expected = [] if code is None else [{(code, "event_timestamp")}]
    assert reasons(validated(stream(), row(ts=ts))) == expected


def test_the_latest_moment_depends_on_the_landing_partition_and_not_on_the_clock() -> None:
    late = row(ts="2026-01-09T00:04:59Z")
    assert reasons(validated(stream(), late)) == [{("future_timestamp", "event_timestamp")}]
    assert reasons(validated(stream(), late, landing="2026-01-08")) == []


def test_a_stream_with_an_end_rejects_events_from_then_on() -> None:
    over = stream(end="2026-01-02")
    assert reasons(validated(over, row(ts="2026-01-01T23:59:59.999999Z"))) == []
    assert reasons(validated(over, row(ts="2026-01-02T00:00:00Z"))) == [{("future_timestamp", "event_timestamp")}]


def test_the_start_is_a_midnight_of_the_sessions_timezone() -> None:
    berlin = stream(session={"timezone": "Europe/Berlin"})
    assert reasons(validated(berlin, row(ts="2025-12-31T23:00:00Z"))) == []
    assert reasons(validated(berlin, row(ts="2025-12-31T22:59:59.999999Z"))) == [{("before_start", "event_timestamp")}]


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
    with_columns(event_id={"from": "id", "nullable": True}),
    stream(extra_columns="reject"),
    with_columns(page_url={"from": "url", "nullable": True, "unique": True}),
]


@pytest.mark.slow
@example(RULES, [b"\xff"], [], False)
@settings(max_examples=60)
@given(st.sampled_from(STREAMS), st.lists(payloads, max_size=12), st.lists(payloads, max_size=4), st.booleans())
def test_every_row_is_validated_once_and_both_contracts_are_kept(
    of: Stream, first: list[bytes], second: list[bytes], same_bytes: bool
) -> None:
    files = [raw(*first, uri="a"), raw(*(first if same_bytes else second), uri="b")]
    validations = [validate(parse(file, of), of, LANDING) for file in files]
    digests = {"a": "same", "b": "same" if same_bytes else "other"}
    events, conflicts, duplicates, _ = deduplicate(pl.concat(v.events for v in validations), of, digests)

    every = pl.concat(files).with_columns(pl.lit(1, pl.Int64).alias(ROWS))
    all_rejected = pl.concat(
        [
            *(validation.rejected for validation in validations),
            every.join(conflicts, on=["source_uri", "position"]).select(validations[0].rejected.columns),
        ]
    )
    rejected = rejections(all_rejected, of)
    assert events.height + rejected["rows"].sum() + duplicates == every.height
    assert events.height + conflicts.height + duplicates == sum(validation.events.height for validation in validations)
    events_schema(of, LANDING).validate(events, lazy=True)
    rejected_schema(of).validate(rejected, lazy=True)

    payload_at = dict(zip(every.select("source_uri", "position").rows(), every["payload"], strict=True))
    for uri, at, payload, encoding in rejected.select("source_uri", "position", "payload", "payload_encoding").rows():
        assert payload_bytes(payload, encoding) == payload_at[uri, at]
    places = [
        *events.select("source_uri", "position").rows(),
        *rejected.select("source_uri", "position").rows(),
    ]
    assert len(set(places)) == len(places)
    if same_bytes and "event_id" not in of.columns:
        assert set(events["source_uri"]) <= {"a"}
