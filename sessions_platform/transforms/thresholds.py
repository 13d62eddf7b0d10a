"""Compare the numbers of a landing partition's rejected rows with the stream's thresholds.

Here: the comparison, which is exact. What a stream may allow is in ``contracts.rejection_limits``; rows are counted in
``pipeline.validate``, and violations are reported, or fail the run, in ``orchestration``.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from sessions_platform.contracts.rejection_limits import Rejected, Thresholds


class ThresholdViolation(NamedTuple):
    """`rows` of `of` raw rows are rejected, a greater share than `limit`.

    `code` is the reason, or "" for any; `limit` a fraction of 1; `fails` whether the partition fails or is warned of.
    """

    code: str
    rows: int
    of: int
    limit: Decimal
    fails: bool


def threshold_violations(
    allowed: Rejected, raw_rows: int, rejected: int, by_reason: Mapping[str, int]
) -> list[ThresholdViolation]:
    """The thresholds that are exceeded. A share that equals a threshold does not exceed it.

    Args:
        allowed: the stream's thresholds, for all rejected rows and by reason.
        raw_rows: of the landing partition.
        rejected: its rejected rows.
        by_reason: rejected rows by reason code; absent codes have none.

    Returns:
        At most one violation for all rejected rows and one for each reason: the failure, if both thresholds are
        exceeded.
    """
    counted = [("", allowed, rejected)]
    counted += [(code.value, limits, by_reason.get(code.value, 0)) for code, limits in allowed.by_reason.items()]
    return [violation for code, limits, rows in counted for violation in _exceeded(code, limits, rows, raw_rows)]


def _exceeded(code: str, limits: Thresholds, rows: int, of: int) -> Iterator[ThresholdViolation]:
    for limit, fails in ((limits.fail_above, True), (limits.warn_above, False)):
        if limit is not None and rows > limit * of:
            yield ThresholdViolation(code, rows, of, limit, fails)
            return
