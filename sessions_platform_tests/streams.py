"""Streams and events for tests."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.sessionize import EventReader

DAY_ONE = datetime(2026, 1, 1, tzinfo=UTC)

PLAIN: dict[str, Any] = {
    "name": "web",
    "start": "2026-01-01",
    "source": {"files": "landing/{partition:%Y-%m-%d}/*.ndjson", "format": "ndjson"},
    "columns": {
        "event_id": {"from": "id"},
        "user_id": {"from": "user"},
        "event_timestamp": {"from": "ts", "formats": ["%+", "epoch_ms"]},
        "event_type": {"from": "type"},
        "page_url": {"from": "url", "nullable": True},
    },
}


def stream(**changes: Any) -> Stream:
    """The plain stream, with other top-level keys."""
    return Stream.model_validate({**PLAIN, **changes})


def event(user: str, at: datetime, name: str, **more: Any) -> dict[str, Any]:
    return {
        "event_id": name,
        "user_id": user,
        "event_timestamp": at,
        "event_type": "view",
        "page_url": None,
        "properties": None,
        "landing_partition": "2026-01-01",
        "source_uri": "a.ndjson",
        "position": 1,
        **more,
    }


def timeline(minutes: str, user: str = "ann") -> list[dict[str, Any]]:
    """Events of one user at these minutes after the first midnight, in the order given; ids are their places."""
    return [
        event(user, DAY_ONE + timedelta(minutes=float(minute)), f"{place:03}", position=place + 1)
        for place, minute in enumerate(minutes.split())
    ]


def frame(events: Iterable[dict[str, Any]], of: Stream) -> pl.DataFrame:
    return pl.DataFrame(list(events), schema=event_columns(of), orient="row")


def reader(events: pl.DataFrame) -> EventReader:
    """Reads from a frame, and as strictly as the lake: never a row outside of what was asked for."""

    def read(start: datetime, end: datetime, users: pl.Series | None = None) -> pl.DataFrame:
        near = events.filter(pl.col("event_timestamp").is_between(start, end, closed="left"))
        return near if users is None else near.filter(pl.col("user_id").is_in(users.implode()))

    return read
