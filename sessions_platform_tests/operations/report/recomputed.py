"""Sessions at other gaps, each computed from scratch by the reference implementation."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms import reference_sessionizer as reference


def sessions_by_gap(events: list[dict[str, Any]], gaps: Iterable[timedelta], stream: Stream) -> dict[timedelta, int]:
    """How many sessions there are at each gap, by no other rule of the stream."""
    rule, units = stream.session, {"us": 1, "ms": 1000, "s": 1_000_000}
    plain = reference.Rule(
        gap_inclusive=rule.gap_inclusive,
        precision=timedelta(microseconds=units[rule.precision]),
        gap_from_second=rule.gap_from == "second",
        passive=tuple(rule.passive or ()),
    )
    return {gap: len(reference.sessions_of(events, plain._replace(gap=gap))) for gap in gaps}
