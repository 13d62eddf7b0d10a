"""Rows that a stream skips are neither events nor rejected, and are counted."""

from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.skip import SkipRule
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.validate import validate
from sessions_platform_tests.streams import PLAIN, stream
from sessions_platform_tests.transforms.rows import LANDING, raw, row, validated

COLUMNS = {
    **PLAIN["columns"],
    "exclude_hit": {"type": "integer", "nullable": True},
    "agent": {"nullable": True},
    "bot": {"type": "boolean", "nullable": True},
}


def skipping(*rules: dict[str, Any]) -> Stream:
    return stream(columns=COLUMNS, skip=list(rules))


@pytest.mark.parametrize(
    ("rules", "payload", "skipped"),
    [
        ([{"column": "exclude_hit", "not_in": [0]}], row(exclude_hit=1), True),
        ([{"column": "exclude_hit", "not_in": [0]}], row(exclude_hit="0"), False),
        ([{"column": "exclude_hit", "not_in": [0]}], row(), False),
        ([{"column": "bot", "isin": [True]}], row(bot=True), True),
        ([{"column": "bot", "isin": [True]}], row(bot=False), False),
        ([{"column": "agent", "pattern": "^kube-probe"}], row(agent="kube-probe/1.30"), True),
        ([{"column": "agent", "pattern": "^kube-probe"}], row(agent="not kube-probe"), False),
        ([{"column": "agent", "pattern": "probe", "not_in": ["probe"]}], row(agent="probe"), False),
        ([{"column": "agent", "isin": ["x"]}, {"column": "user_id", "isin": ["ann"]}], row(), True),
        ([{"column": "agent", "missing": True}], row(), True),
        ([{"column": "agent", "missing": True}], row(agent=" "), True),
        ([{"column": "agent", "missing": True}], row(agent="-"), False),
        ([{"payload": "^#"}], b"# a comment", True),
        ([{"payload": "^#"}], row(page="# no comment"), False),
    ],
)
def test_a_row_is_skipped_if_it_keeps_all_conditions_of_a_rule(
    rules: list[dict[str, Any]], payload: dict[str, Any] | bytes, skipped: bool
) -> None:
    result = validated(skipping(*rules), payload)
    assert (result.skipped, result.events.height, result.rejected.height) == ((1, 0, 0) if skipped else (0, 1, 0))


def test_a_skipped_row_may_break_the_contract() -> None:
    result = validated(skipping({"column": "agent", "isin": ["probe"]}), row(agent="probe", user=None), row(user=None))
    assert (result.skipped, result.rejected["position"].to_list()) == (1, [2])


def test_a_pattern_is_matched_beside_bytes_that_are_no_utf_8() -> None:
    result = validated(skipping({"payload": "^#"}), b"# \xff", b"\xff #", b"#")
    assert (result.skipped, result.rejected["position"].to_list()) == (2, [2])


def test_the_rest_of_a_corrupt_file_is_never_skipped() -> None:
    of = skipping({"payload": "."})
    corrupt = raw(b"file:///quarantined").with_columns(corrupt_reason=pl.lit("truncated")).select(list(RAW_EVENTS))
    result = validate(parse(corrupt, of), of, LANDING)
    assert (result.skipped, result.rejected.height) == (0, 1)


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"column": "agent"},
        {"column": "agent", "isin": []},
        {"column": "agent", "payload": "^#"},
        {"payload": "^#", "isin": ["x"]},
        {"payload": "^#", "missing": True},
        {"column": "agent", "missing": False},
        {"column": "agent", "missing": True, "isin": ["x"]},
        {"payload": "("},
    ],
)
def test_a_rule_without_a_meaning_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SkipRule.model_validate(rule)


def test_rules_are_part_of_the_contracts_version() -> None:
    versions = {stream(skip=rules).contract_version for rules in ([], [{"payload": "^#"}], [{"payload": "^;"}])}
    assert len(versions) == 3
