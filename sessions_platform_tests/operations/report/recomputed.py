"""Sessions at other gaps, each computed from scratch by the reference implementation."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms import reference_sessionizer as reference


def sessions_by_gap(events: list[dict[str, Any]], gaps: Iterable[timedelta], stream: Stream) -> dict[timedelta, int]:
    """How many sessions there are at each gap, by no other rule of the stream."""
    inclusive = stream.session.gap_inclusive
    return {gap: len(reference.sessions_of(events, reference.Rule(gap, inclusive))) for gap in gaps}
