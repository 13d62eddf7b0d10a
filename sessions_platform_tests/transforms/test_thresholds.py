"""A threshold is exceeded above it, and neither at it nor below."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.rejection_limits import Rejected
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.transforms.thresholds import ThresholdViolation, threshold_violations


def exceeded(allowed: dict, raw_rows: int, rejected: int, **by_reason: int) -> list[tuple[str, bool]]:
    """The code of each threshold that is exceeded, and whether it fails the partition."""
    violations = threshold_violations(Rejected.model_validate(allowed), raw_rows, rejected, by_reason)
    return [(violation.code, violation.fails) for violation in violations]


BOTH = {"warn_above": "1%", "fail_above": "20%"}


@pytest.mark.parametrize(
    ("rejected", "expected"),
    [
        pytest.param(0, [], id="none"),
        pytest.param(9, [], id="below the warning"),
        pytest.param(10, [], id="at the warning"),
        pytest.param(11, [("", False)], id="above the warning"),
        pytest.param(200, [("", False)], id="at the failure"),
        pytest.param(201, [("", True)], id="above the failure, which alone is reported"),
        pytest.param(1000, [("", True)], id="all"),
    ],
)
def test_of_a_thousand_rows(rejected: int, expected: list[tuple[str, bool]]) -> None:
    assert exceeded(BOTH, 1000, rejected) == expected


def test_without_thresholds_or_rows_nothing_is_exceeded() -> None:
    assert exceeded({}, 1, 1, malformed=1) == []
    assert exceeded({"warn_above": "0%", "fail_above": "0%"}, 0, 0) == []


def test_a_threshold_of_zero_allows_no_rejected_row() -> None:
    assert exceeded({"fail_above": "0%"}, 10**9, 0) == []
    assert exceeded({"fail_above": "0%"}, 10**9, 1) == [("", True)]


def test_all_rows_may_be_rejected_at_100_percent() -> None:
    assert exceeded({"fail_above": "100%"}, 3, 3) == []


def test_each_reason_has_thresholds_of_its_own() -> None:
    allowed = {**BOTH, "by_reason": {"malformed": {"fail_above": "0.1%"}, "wrong_type": {"warn_above": "1%"}}}
    assert exceeded(allowed, 1000, 4, malformed=1, wrong_type=3) == []
    assert exceeded(allowed, 1000, 4, malformed=2, wrong_type=3) == [("malformed", True)]
    assert exceeded(allowed, 1000, 14, malformed=1, wrong_type=11) == [("", False), ("wrong_type", False)]


def test_a_violation_has_its_numbers_and_its_limit() -> None:
    allowed = Rejected.model_validate({"by_reason": {"malformed": {"warn_above": "0.5%"}}})
    (violation,) = threshold_violations(allowed, 100, 3, {Code.malformed.value: 2})
    assert violation == ThresholdViolation("malformed", 2, 100, Decimal("0.005"), fails=False)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 100_000_000))
def test_shares_are_compared_exactly(one: int, other: int, millionths_of_percent: int) -> None:
    """In whole numbers: no share is rounded."""
    rejected, raw = sorted((one, other))
    percent = f"{millionths_of_percent // 10**6}.{millionths_of_percent % 10**6:06}%"
    is_above = rejected * 100 * 10**6 > millionths_of_percent * raw
    assert exceeded({"fail_above": percent}, raw, rejected) == ([("", True)] if is_above else [])
