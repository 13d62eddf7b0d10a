"""A path leads into JSON that is the text of a field, as it would into the field's own objects."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.field_paths import steps_of
from sessions_platform.contracts.pseudonym_checks import pseudonym_issues
from sessions_platform.transforms.parse.paths import TEXT_OF, value_at
from sessions_platform_tests.streams import PLAIN, stream
from sessions_platform_tests.transforms.rows import reasons, row, validated, with_columns


def page(path: str | list[str], **fields: Any) -> Any:
    """What the column page_url has; the codes of its reasons where the row is rejected."""
    result = validated(with_columns(page_url={"from": path, "nullable": True}), row(**fields))
    return result.events["page_url"].item() if result.events.height else reasons(result)[0]


WRONG_TYPE = {("wrong_type", "page_url")}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("json:p.id", '{"id": "ann"}', "ann"),
        ("json:p.id", ' {"id": 1.10} ', "1.10"),
        ("json:p.a.b", '{"a": {"b": true}}', "true"),
        ("json:p[1].c", '[1, {"c": "x"}]', "x"),
        ("json:p[k=v].c", '[{"k": "v", "c": "x"}]', "x"),
        ("json:p", '"text"', "text"),
        ("json:p.id", {"id": "ann"}, "ann"),
        ("json:p.id", "{}", None),
        ("json:p.id", "", None),
        ("json:p.id", None, None),
        ("json:p.id", "7", None),
        ("json:p.json:q.id", '{"q": "{\\"id\\": 7}"}', "7"),
        ("json:p.id", "{broken", WRONG_TYPE),
        ("json:p.id", '{"id": {}}', WRONG_TYPE),
        ("json:p", "{}", WRONG_TYPE),
        ("json:p.id", '{"id": NaN}', WRONG_TYPE),
        ("json:p.id", "[" * 300, WRONG_TYPE),
        (["json:p.id", "url"], "{}", "/"),
        (["json:p.id", "url"], "{broken", WRONG_TYPE),
        ("json:p.id", '{"id": "a\\u0000"}', {("bad_text", "page_url")}),
    ],
)
def test_a_path_leads_into_text_that_holds_json(path: str | list[str], value: Any, expected: Any) -> None:
    assert page(path, p=value, url="/") == expected


def test_text_that_no_payload_shows_is_found_to_be_unstorable() -> None:
    payload = json.dumps(row(p="#")).replace('"#"', r'"{\"id\": \"a\u005cu0000\"}"').encode()
    result = validated(with_columns(page_url={"from": "json:p.id", "nullable": True}), payload)
    assert reasons(result) == [{("bad_text", "page_url")}]


def test_the_reason_of_broken_json_names_the_path_and_shows_the_text() -> None:
    of = with_columns(page_url={"from": "json:p.id", "nullable": True})
    (reason,) = validated(of, row(p="{broken")).rejected["reasons"][0].to_list()
    assert reason["rule"].startswith("text that holds JSON (from json:p.id); it is not one JSON")
    assert reason["value"] == '"{broken"'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.lists(st.sampled_from(["a", "b", "[0]", "[-1]"]), max_size=3))
def test_json_within_text_is_read_as_outside_of_it(value: Any, steps: list[str]) -> None:
    rest = "".join(step if step[0] == "[" else f".{step}" for step in steps)
    outside, within = f"p{rest}", f"json:p{rest}"
    text = json.dumps(value)
    found = value_at({"p": text}, within, steps_of(within))
    assert found == value_at({"p": value}, outside, steps_of(outside))
    assert TEXT_OF[type(found)](found) is None or isinstance(TEXT_OF[type(found)](found), str)


@pytest.mark.parametrize(
    ("path", "other", "extra_columns", "is_shared"),
    [
        ("json:p.id", "json:p.plan", "drop", False),
        ("json:p.id", "json:p.id", "drop", True),
        ("json:p.id", "p", "drop", True),
        ("json:p.id", "q", "drop", False),
        ("json:p.id", "q", "keep", True),
    ],
)
def test_a_pseudonym_is_not_given_away_by_the_text(path: str, other: str, extra_columns: str, is_shared: bool) -> None:
    columns = {**PLAIN["columns"], "user_id": {"from": path}, "other": {"from": other}}
    raw = {"pseudonymize": {"user_id": "hmac"}, "columns": columns, "extra_columns": extra_columns}
    assert bool(list(pseudonym_issues(raw, "0123456789abcdef"))) == is_shared


def test_the_text_stays_in_properties_and_is_expected_where_others_are_rejected() -> None:
    columns = {**PLAIN["columns"], "page_url": {"from": "json:p.id", "nullable": True}}
    kept = validated(stream(columns=columns), row(p='{"id": 1, "more": 2}')).events["properties"].item()
    assert json.loads(kept) == {"p": '{"id": 1, "more": 2}'}
    assert validated(stream(columns=columns, extra_columns="reject"), row(p='{"id": 1}')).events.height == 1
