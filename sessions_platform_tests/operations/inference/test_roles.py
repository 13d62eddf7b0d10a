"""Columns are proposed by the names and the content of fields, and what is doubtful is told."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sessions_platform.operations.inference.columns import column_name, other_columns
from sessions_platform.operations.inference.fields import Field, fields_of
from sessions_platform.operations.inference.null_words import null_words
from sessions_platform.operations.inference.roles import Roles, roles_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def rows(count: int = 60, **fields: Any) -> list[dict[str, Any]]:
    """Rows with these fields: each a value, or a function of the row's number."""
    return [{name: value(n) if callable(value) else value for name, value in fields.items()} for n in range(count)]


def times(n: int) -> str:
    return f"2026-01-01T10:{n:02}:00Z"


EVENT: dict[str, Any] = {"user_id": lambda n: f"u{n % 7}", "ts": times, "event": lambda n: ("view", "buy")[n % 2]}


def roles(**fields: Any) -> Roles:
    found = fields_of(rows(**fields))
    nulls = null_words(found)
    return roles_of([each.without(nulls) for each in found], NOW)


def test_names_decide_between_fields_that_could_all_be_it() -> None:
    found = roles(**EVENT, session_id=lambda n: f"s{n % 9}", received_at=times, category=lambda n: "ab"[n % 2])
    assert (found.user.paths, found.time.paths, found.type.paths) == (("user_id",), ("ts",), ("event",))


@pytest.mark.parametrize("name", ["userId", "USER_ID", "user-id", "User Id", "visitorId", "mcvisid", "distinct_id"])
def test_names_are_compared_without_case_and_separators(name: str) -> None:
    others = {key: value for key, value in EVENT.items() if key != "user_id"}
    assert roles(**others, **{name: EVENT["user_id"]}).user.paths == (name,)


def test_fields_in_objects_are_paths_and_keys_with_dots_are_quoted() -> None:
    found = roles(user=lambda n: {"id": f"u{n % 7}"}, **{"@timestamp": times, "event.name": lambda n: "ab"[n % 2]})
    assert found.user.paths == ("user.id",)
    assert found.time.paths == ("@timestamp",)
    assert found.type.paths == ('"event.name"',)


def test_rows_without_the_first_user_have_the_second() -> None:
    others = {**EVENT, "user_id": lambda n: f"u{n % 7}" if n % 2 else None}
    assert roles(**others, anonymous_id=lambda n: f"a{n}").user.paths == ("user_id", "anonymous_id")


@pytest.mark.parametrize("word", ["-", "NULL", "", "(not set)"])
def test_a_user_that_is_nearly_always_null_is_passed_over_and_warned_of(word: str) -> None:
    found = roles(**{**EVENT, "user_id": lambda n: "u1" if n == 5 else word}, ip=lambda n: f"10.0.0.{n % 9}")
    assert found.user.paths == ("ip",)
    assert found.user.warnings == (
        "user_id is null in 98% of the rows.",
        "user_id is an address: users behind one address count as one.",
    )


def test_a_time_of_updates_is_not_the_time_of_the_event() -> None:
    others = {key: value for key, value in EVENT.items() if key != "ts"}
    assert roles(**others, updated_at=times, at=times).time.paths == ("at",)


def test_a_date_and_a_clock_are_joined() -> None:
    others = {key: value for key, value in EVENT.items() if key != "ts"}
    found = roles(**others, date="2026-01-01", time=lambda n: f"10:{n:02}:00")
    assert found.time.paths == ("date", "time")
    assert found.time.is_joined


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (lambda n: f"e{n}", ("id",)),
        (lambda n: f"e{max(n, 1)}", ("id",)),
        (lambda n: f"e{n % 50}", ()),
    ],
)
def test_an_id_is_one_only_if_it_hardly_ever_repeats(value: Any, paths: tuple[str, ...]) -> None:
    assert roles(**EVENT, id=value).id.paths == paths


def test_a_user_of_a_few_events_is_passed_over_for_one_of_all() -> None:
    others = {key: value for key, value in EVENT.items() if key != "user_id"}
    found = roles(
        **others,
        review=lambda n: {"user": {"id": f"r{n}"}} if n % 9 == 0 else None,
        actor=lambda n: {"id": f"a{n % 7}"},
    )
    assert found.user.paths == ("actor.id",)


def test_numbers_are_times_only_by_their_name_or_in_files_without_names() -> None:
    def epoch(n: int) -> int:
        return 1767225600 + n

    assert roles(**{**EVENT, "ts": epoch}, push_id=epoch).times.keys() == {"ts"}
    assert roles(push_id=epoch, field_1=epoch).times.keys() == {"field_1"}


def test_neither_addresses_nor_users_are_types_of_events() -> None:
    found = roles(ts=times, ip=lambda n: f"10.0.0.{'abc'[n % 3]}", user=lambda n: "ab"[n % 2])
    assert found.type.paths == ()


def test_what_is_missing_is_a_sentence() -> None:
    found = roles(amount=lambda n: n)
    assert [problem.partition(":")[0] for problem in found.problems] == [
        "no column looks like a user",
        "no column looks like a time",
        "no column looks like the type of an event",
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1, "-", 2), ["-"]),
        (("a", "NULL", "\\N"), ["\\N", "NULL"]),
        (("NA", "DE", "FR"), []),
        (("NA", "1.5", "2"), ["NA"]),
        (("None", "2026-01-01", "2026-01-02"), ["None"]),
        (("none", "some"), []),
    ],
)
def test_words_for_null_are_those_that_can_mean_nothing_else(values: tuple[Any, ...], words: list[str]) -> None:
    assert null_words(fields_of([{"a": value} for value in values])) == words


@pytest.mark.parametrize(
    ("values", "column"),
    [
        ((1, 2, -3), {"type": "integer"}),
        (("1", "2"), {"type": "integer"}),
        (("01", "2"), {}),
        (("1", "2.5"), {"type": "float"}),
        ((True, False), {"type": "boolean"}),
        (("true", "FALSE"), {"type": "boolean"}),
        (("1,5", "2,5"), {}),
        ((str(2**64), "1"), {}),
        ((" a", "b"), {"trim": True}),
    ],
)
def test_types_are_those_that_all_values_have(values: tuple[Any, ...], column: dict[str, Any]) -> None:
    found = fields_of([{"count": value} for value in values])
    assert other_columns(found, set(), {}) == {"count": {**column, "nullable": True}}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("userAgent", "user_agent"), ("User-Agent", "user_agent"), ("cs(Referer)", "cs_referer"), ("2nd", "field_2nd"),
        ("Größe", "gr_e"), ("payload", "payload_field"), ("user_id", "user_id_field"), ("x" * 90, "x" * 42),
    ],
)  # fmt: skip
def test_names_of_fields_become_names_of_columns(text: str, name: str) -> None:
    assert column_name(text) == name


def test_two_fields_of_one_name_are_two_columns() -> None:
    found = fields_of([{"a": {"name": "x"}, "b": {"name": "y"}}])
    assert list(other_columns(found, set(), {})) == ["name", "b_name"]


def test_a_field_that_is_a_list_in_some_rows_is_left_out() -> None:
    assert [each.path for each in fields_of([{"a": 1, "b": 2}, {"a": [1], "b": 3}])] == ["b"]


def test_values_in_lists_of_named_ones_are_fields_of_their_names() -> None:
    params = [{"key": "page_location", "value": {"string_value": "/a"}}, {"key": "n", "value": {"int_value": 1}}]
    more = [
        {"key": "n", "value": {"string_value": None, "double_value": 1.5}},
        {"key": "a|b", "value": {"int_value": 2}},
    ]
    found = fields_of([{"event_params": params}, {"event_params": more, "tags": [{"name": "x", "value": "y"}, "z"]}])
    assert [(each.path, each.name, each.texts) for each in found] == [
        ("event_params[key=page_location].value.string_value", "page_location", ("/a",)),
        ("event_params[key=n].value.(int|double)_value", "n", ("1", "1.5")),
    ]
    plain = fields_of([{"vars": [{"name": "plan.id", "value": "pro"}]}, {"vars": []}])
    assert [(each.path, each.name) for each in plain] == [("vars[name=plan.id].value", "plan.id")]


def test_a_field_counts_nulls_over_all_rows() -> None:
    (found,) = fields_of([{"a": "x"}, {"a": " "}, {"a": None}, {}])
    assert isinstance(found, Field)
    assert found.null_share == 0.75
