"""One row for each session, as the reference makes it, with aggregates as in SQL."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.schemas.sessions import sessions_schema
from sessions_platform.contracts.sessions import session_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.summarize import summarize
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, stream

COLUMNS: dict[str, Any] = {
    **PLAIN["columns"],
    "amount": {"type": "float", "nullable": True},
    "stars": {"type": "integer", "nullable": True},
    "new": {"type": "boolean", "nullable": True},
    "seen": {"type": "timestamp", "nullable": True, "formats": ["%+"]},
    "step": {"type": "integer", "nullable": True},
}
TYPES = {"text": "page_url", "float": "amount", "integer": "stars", "boolean": "new", "timestamp": "seen"}
FUNCTIONS = ["first", "last", "min", "max", "count", "count_distinct", "most_frequent"]
EVERY_AGGREGATE: dict[str, dict[str, Any]] = {
    **{f"{function}_{kind}": {function: column} for function in FUNCTIONS for kind, column in TYPES.items()},
    "any_boolean": {"any": "new"},
    "sum_float": {"sum": "amount"},
    "sum_integer": {"sum": "stars"},
    "sum_where": {"sum": "amount", "where": {"event_type": "buy"}},
    "frequent_where": {"most_frequent": "page_url", "where": {"event_type": ["view", "buy"], "new": True}},
    "count_where": {"count": "event_type", "where": {"stars": [1, 5], "page_url": "/a"}},
    "last_where": {"last": "stars", "where": {"amount": [0, 0.5]}},
}


def aggregating(**session: Any) -> Stream:
    return stream(columns=COLUMNS, session=session)


def an_event(minute: float, name: str, **more: Any) -> dict[str, Any]:
    return event(
        "ann", DAY_ONE + timedelta(minutes=minute), name, **{**dict.fromkeys([*TYPES.values(), "step"]), **more}
    )


def summarized(events: list[dict[str, Any]], of: Stream) -> list[dict[str, Any]]:
    return summarize(sessionize(frame(events, of), of), of).to_dicts()


def aggregated(aggregate: dict[str, str], values: list[Any]) -> Any:
    """One aggregate over consecutive events with these values of its column."""
    (column,) = aggregate.values()
    events = [an_event(number, f"{number:03}", **{column: value}) for number, value in enumerate(values)]
    (row,) = summarized(events, aggregating(columns={"answer": aggregate}))
    return row["answer"]


# As SQL aggregates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        ("first", ["b", "a", "c"], "b"),
        ("first", [None, "a", None], "a"),
        ("first", ["", "a"], ""),
        ("last", ["b", "a", None], "a"),
        ("min", ["b", None, "a"], "a"),
        ("max", ["b", "a", None], "b"),
        ("count", ["b", "b", None], 2),
        ("count_distinct", ["b", "b", None, ""], 2),
    ],
)
def test_nulls_are_ignored(function: str, values: list[str | None], expected: str | int) -> None:
    assert aggregated({function: "page_url"}, values) == expected


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_of_nulls_alone_there_is_a_count_and_nothing_else(function: str, kind: str) -> None:
    nothing = 0 if function.startswith("count") else None
    assert aggregated({function: TYPES[kind]}, [None, None]) == nothing


def test_a_sum_of_nothing_is_null_and_a_sum_of_nulls_too() -> None:
    assert aggregated({"sum": "amount"}, [None]) is None
    assert aggregated({"sum": "stars"}, [None, None]) is None
    assert aggregated({"sum": "amount"}, [0.5, None, 0.25]) == 0.75
    assert aggregated({"sum": "stars"}, [3, None, -3]) == 0


@pytest.mark.parametrize(
    ("column", "values"),
    [
        pytest.param("stars", [2**62, 2**62], id="more than 64 bits"),
        pytest.param("stars", [-(2**63), -1], id="less than 64 bits"),
        pytest.param("amount", [1e308, 1e308], id="more than the greatest double"),
    ],
)
def test_a_sum_that_does_not_fit_is_refused_with_its_session(column: str, values: list[float]) -> None:
    opener = reference.session_id([an_event(0, "000")])
    with pytest.raises(UserError, match=f"answer of session {opener}: the sum of {column} overflows.* Fix: give"):
        aggregated({"sum": column}, values)


def test_a_sum_may_exceed_64_bits_on_its_way() -> None:
    assert aggregated({"sum": "stars"}, [2**63 - 1, 2**63 - 1, -(2**63 - 1)]) == 2**63 - 1
    assert aggregated({"sum": "stars"}, [-(2**62), -(2**62)]) == -(2**63)


def test_other_types_aggregate_as_themselves() -> None:
    assert aggregated({"max": "new"}, [False, None, True]) is True
    assert aggregated({"min": "seen"}, [DAY_ONE + timedelta(1), DAY_ONE]) == DAY_ONE
    assert aggregated({"max": "stars"}, [2**62, 2**62 + 1]) == 2**62 + 1


def test_the_id_is_a_column_too() -> None:
    web = aggregating(columns={"opener": {"first": "event_id"}, "events": {"count_distinct": "event_id"}})
    (row,) = summarized([an_event(1, "b"), an_event(0, "a")], web)
    assert (row["opener"], row["events"]) == ("a", 2)


def test_an_aggregate_may_have_the_name_of_its_column() -> None:
    web = aggregating(columns={"amount": {"sum": "amount"}, "event_type": {"last": "event_type"}})
    (row,) = summarized([an_event(0, "a", amount=1.0), an_event(1, "b", amount=2.0, event_type="buy")], web)
    assert (row["amount"], row["event_type"], row["primary_action"]) == (3.0, "buy", "view")


def test_first_and_last_go_by_sequence_among_simultaneous_events() -> None:
    web = stream(
        columns=COLUMNS, sequence="step", session={"columns": {"one": {"first": "amount"}, "end": {"last": "amount"}}}
    )
    events = [an_event(0, "a", step=3, amount=3.0), an_event(0, "b", step=1, amount=1.0), an_event(0, "c", amount=9.0)]
    (row,) = summarized(events, web)
    assert (row["one"], row["end"]) == (1.0, 9.0)


# Entry, exit, length -------------------------------------------------------------------------------------


def test_entry_and_exit_are_the_first_and_last_pages_that_are_not_null() -> None:
    pages = [None, "/home", "/cart", None]
    (row,) = summarized(
        [an_event(number, f"{number}", page_url=page) for number, page in enumerate(pages)], aggregating()
    )
    assert (row["entry_page"], row["exit_page"]) == ("/home", "/cart")


def test_a_stream_without_pages_has_sessions_without_pages() -> None:
    bare = stream(columns={name: column for name, column in PLAIN["columns"].items() if name != "page_url"})
    events = [{name: value for name, value in event("ann", DAY_ONE, "a").items() if name != "page_url"}]
    (row,) = summarized(events, bare)
    assert (row["entry_page"], row["exit_page"]) == (None, None)


def test_a_length_is_exact_to_the_microsecond() -> None:
    (row,) = summarized(
        [an_event(0, "a"), {**an_event(0, "b"), "event_timestamp": DAY_ONE + timedelta(microseconds=1)}], aggregating()
    )
    assert row["duration_seconds"] == 1e-06


def test_no_events_make_no_sessions_of_the_right_columns() -> None:
    web = aggregating(columns=EVERY_AGGREGATE)
    empty = summarize(sessionize(frame([], web), web), web)
    assert empty.height == 0
    assert dict(empty.schema) == session_columns(web)


# Primary action ------------------------------------------------------------------------------------------


def primary(actions: str, rule: Any = "most_frequent") -> str | None:
    """Of consecutive events, a letter each; their ids descend, so that they can't break a tie by chance."""
    events = [
        an_event(number, f"{99 - number:02}", event_type=action)
        for number, action in enumerate(actions.replace(" ", ""))
    ]
    (row,) = summarized(events, aggregating(primary_action=rule))
    return row["primary_action"]


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        pytest.param("a", "a", id="one event"),
        pytest.param("a b b", "b", id="the most frequent"),
        pytest.param("b a a b", "b", id="a tie goes to the earliest"),
        pytest.param("c b a a b", "b", id="to the earliest of those that tie"),
        pytest.param("z y x", "z", id="also where all tie"),
        pytest.param("b a b a a b", "b", id="by its first event, not its last"),
    ],
)
def test_the_primary_action_is_the_most_frequent(actions: str, expected: str) -> None:
    assert primary(actions) == expected


def test_a_tie_of_simultaneous_events_goes_by_id() -> None:
    (row,) = summarized([an_event(0, "2", event_type="a"), an_event(0, "1", event_type="b")], aggregating())
    assert row["primary_action"] == "b"


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        pytest.param("v v v p", "p", id="once is enough"),
        pytest.param("c p c", "p", id="by the list, not by the frequency"),
        pytest.param("v c v", "c", id="the next where the first is not there"),
        pytest.param("v v", None, id="none of the list"),
    ],
)
def test_a_list_of_priorities_decides(actions: str, expected: str | None) -> None:
    assert primary(actions, rule=["p", "c"]) == expected


# Equal to the reference ----------------------------------------------------------------------------------

optional = {
    "amount": st.none() | st.floats(-1e6, 1e6).map(lambda number: round(number, 2)),
    "stars": st.none() | st.integers(-9, 9) | st.integers(-(2**59), 2**59),
    "new": st.none() | st.booleans(),
    "seen": st.none() | st.integers(0, 9).map(lambda hours: DAY_ONE + timedelta(hours=hours)),
    "page_url": st.none() | st.sampled_from(["", "/", "/a", "é"]),
    "event_type": st.sampled_from(["view", "cart", "buy"]),
    "user_id": st.sampled_from(["ann", "bob"]),
}
events = st.lists(
    st.builds(lambda minute, more: {"minute": minute, **more}, st.integers(0, 90), st.fixed_dictionaries(optional)),
    max_size=20,
).map(lambda rows: [an_event(row.pop("minute"), f"{number:02}", **row) for number, row in enumerate(map(dict, rows))])


IN_PYTHON: dict[str, Callable[[list[Any]], Any]] = {
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "sum": lambda values: pytest.approx(sum(values), abs=1e-6) if values else None,
    "any": lambda values: any(values) if values else None,
    "count": len,
    "count_distinct": lambda values: len(set(values)),
    "most_frequent": lambda values: next((v for v, _ in Counter(values).most_common(1)), None),
}


def expected_aggregates(session: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, aggregate in EVERY_AGGREGATE.items():
        ((function, column),) = ((key, value) for key, value in aggregate.items() if key != "where")
        wanted = {
            key: value if isinstance(value, list) else [value] for key, value in aggregate.get("where", {}).items()
        }
        held = [event for event in session if all(event[key] in values for key, values in wanted.items())]
        row[name] = IN_PYTHON[function]([event[column] for event in held if event[column] is not None])
    return row


@settings(max_examples=40)
@given(events)
def test_sessions_with_every_aggregate_equal_the_reference(ingested: list[dict[str, Any]]) -> None:
    web = aggregating(columns=EVERY_AGGREGATE)
    summarized_events = summarize(sessionize(frame(ingested, web), web), web)
    sessions_schema(web).validate(summarized_events, lazy=True)
    assert dict(summarized_events.schema) == session_columns(web)
    expected = [
        {**reference.summary(session), **expected_aggregates(session)} for session in reference.sessions_of(ingested)
    ]
    rows = summarized_events.drop("session_partition", "session_rule_version").sort("session_id").to_dicts()
    assert rows == sorted(expected, key=lambda row: row["session_id"])


@settings(max_examples=30)
@given(events, st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_no_bit(ingested: list[dict[str, Any]], chance: random.Random) -> None:
    """Otherwise unchanged sessions would be rewritten, because of the last digit of a sum."""
    web = aggregating(columns=EVERY_AGGREGATE)
    cut = sessionize(frame(ingested, web), web)
    order = list(range(cut.height))
    chance.shuffle(order)
    expected = summarize(cut, web).sort("session_id")
    for shuffled in (cut[order], pl.concat([cut[order[:7]], cut[order[7:]]], rechunk=False)):
        assert summarize(shuffled, web).sort("session_id").equals(expected)
