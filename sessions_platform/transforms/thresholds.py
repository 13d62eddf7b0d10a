"""Whether more rows of a landing partition are rejected than its stream allows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from sessions_platform.contracts.rejection_limits import Rejected, Thresholds


@dataclass(frozen=True)
class ThresholdViolation:
    """`rows` of `of` raw rows are rejected, for one reason or (code "") for any; a greater share than `limit`."""

    code: str
    rows: int
    of: int
    limit: Decimal
    fails: bool


def threshold_violations(
    allowed: Rejected, raw_rows: int, rejected: int, by_reason: Mapping[str, int]
) -> list[ThresholdViolation]:
    """The thresholds that are exceeded; of a warning and a failure the failure alone. Exactly at one is within it."""
    counted = [("", allowed, rejected)]
    counted += [(code.value, limits, by_reason.get(code.value, 0)) for code, limits in allowed.by_reason.items()]
    return [excess for code, limits, rows in counted for excess in _exceeded(code, limits, rows, raw_rows)]


def _exceeded(code: str, limits: Thresholds, rows: int, of: int) -> Iterator[ThresholdViolation]:
    for limit, fails in ((limits.fail_above, True), (limits.warn_above, False)):
        if limit is not None and rows > limit * of:
            yield ThresholdViolation(code, rows, of, limit, fails)
            return
