"""The grammar of paths to source fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.field_paths import (
    Match,
    Parsed,
    PathError,
    Step,
    alternatives,
    field_of,
    names_of,
    steps_of,
)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        ("a..b.", ("a", "", "b", "")),
        ("", ("",)),
        ("price (EUR)", ("price (EUR)",)),
        ('5" disk', ('5" disk',)),
        ('a."b.c".d', ("a", "b.c", "d")),
        ('"a[0]"[0]', ("a[0]", 0)),
        ("a[0][-1].b", ("a", 0, -1, "b")),
        ("a[key=x.y=z].v", ("a", Match("key", "x.y=z"), "v")),
        ("a[key=].v", ("a", Match("key", ""), "v")),
        ("a[0].", ("a", 0, "")),
        ("json:a.b", ("a", Parsed.json, "b")),
        ("a.json:b[0].c", ("a", "b", Parsed.json, 0, "c")),
        ('json:"a.b".json:c', ("a.b", Parsed.json, "c", Parsed.json)),
        ('"json:a".b', ("json:a", "b")),
        ("xjson:a", ("xjson:a",)),
    ],
)
def test_a_path_has_steps(path: str, steps: tuple[Step, ...]) -> None:
    assert steps_of(path) == steps


@pytest.mark.parametrize(
    "path",
    [
        "a[key]",
        "a[]",
        "a[1.5]",
        "a[=x]",
        "a[0]b",
        "a]",
        "a[",
        '"a',
        'a."b"c',
        "a[[0]]",
        "json:",
        "json:.a",
        'json:"a"b',
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PathError):
        steps_of(path)


@given(st.lists(st.sampled_from([*'ab.[]"=(|)-01', "json:"]), max_size=9).map("".join))
def test_any_text_is_a_path_or_refused(text: str) -> None:
    try:
        steps = steps_of(text)
    except PathError:
        return
    assert names_of(text) == steps[: len(names_of(text))]


def test_names_to_choose_from_are_tried_in_turn() -> None:
    assert alternatives("v.(a|b)_x.(c|d)") == ["v.a_x.c", "v.a_x.d", "v.b_x.c", "v.b_x.d"]
    assert alternatives("price (EUR)") == ["price (EUR)"]


def test_a_field_is_named_by_its_keys_up_to_a_list() -> None:
    fields = {"a.b": "a.b", "a.b[0].c": "a.b", 'a."b.c"': "a.b.c", "a.json:b.c": "a.b"}
    assert {path: field_of(path) for path in fields} == fields
