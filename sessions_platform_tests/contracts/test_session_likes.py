"""A rule that is like that of another program has its keys, and those that the stream states itself."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from sessions_platform.contracts.session_likes import LIKES, Like
from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform_tests.streams import stream

DOCS = Path(__file__).parents[2] / "docs" / "streams.md"


@pytest.mark.parametrize("name", get_args(Like))
def test_the_keys_are_those_of_the_documentation_and_make_the_rule_that_they_make_alone(name: Like) -> None:
    row = next(line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}` |"))
    documented: dict[str, Any] = {}
    for key in re.findall(r"`([^`]+)`", row.split("|")[2]):
        documented |= yaml.safe_load(key)
    assert documented == LIKES[name].keys
    alone = {key: value for key, value in documented.items() if key != "cut_on"}
    assert SessionRule.model_validate({"like": name}).model_copy(update={"like": None}) == SessionRule.model_validate(
        alone
    )


@pytest.mark.parametrize("name", get_args(Like))
def test_the_documentation_says_which_are_only_documented_and_where(name: Like) -> None:
    row = next(line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}` |"))
    assert (f"Documented only: {LIKES[name].seen}" in row) == LIKES[name].is_documented_only


def test_stated_keys_overrule_it() -> None:
    rule = SessionRule.model_validate({"like": "beam", "gap": "1h", "precision": "us"})
    assert (rule.gap, rule.precision, rule.gap_inclusive) == (timedelta(hours=1), "us", True)


def test_the_column_that_cuts_is_the_streams_and_its_turns_are_the_programs() -> None:
    rule = SessionRule.model_validate({"like": "rudderstack", "cut_on": {"column": "account"}})
    assert rule.cut_on is not None
    assert (rule.cut_on.column, rule.cut_on.when) == ("account", ["changes", "leaves"])
    assert SessionRule.model_validate({"like": "rudderstack"}).cut_on is None


def test_the_sessions_of_a_stream_do_not_become_stale_by_naming_what_they_are_like() -> None:
    keys = {"gap": "30m", "max_length": "24h"}
    assert stream(session=keys).session_rule_version == stream(session={"like": "posthog"}).session_rule_version
    assert stream(session=keys).session_rule_version != stream(session={"like": "spark"}).session_rule_version
