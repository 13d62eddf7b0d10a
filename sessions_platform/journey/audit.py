"""Hold what rests against what it should be, once more and from another side."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from sessions_platform.contracts.calendar import Window, contiguous_runs
from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.journey.workspace import Workspace
from sessions_platform.transforms.sessionize import IDENTITY


@dataclass(frozen=True)
class DaysAudit:
    """Events with timestamps in some windows: distinct accepted ones, those in sessions, and those in two sessions."""

    accepted: int
    sessionized: int
    twice: int


def audit_windows(workspace: Workspace, session_partitions: Sequence[str]) -> DaysAudit:
    """Compare accepted and sessionized events in the time of these partitions, whatever partition holds them.

    The two agree only while nothing waits.
    """
    calendar, counts = workspace.stream.session_calendar, []
    for run in contiguous_runs(list(session_partitions), calendar):
        window = Window(calendar.window(run[0]).start, calendar.window(run[-1]).end)
        counts.append(_audit(workspace, window))
    return DaysAudit(*(sum(column) for column in zip(*counts, strict=True))) if counts else DaysAudit(0, 0, 0)


def repeated_event_ids(workspace: Workspace) -> pl.DataFrame:
    """Accepted events whose id stands under two users or times, in the whole lake; by event_id."""
    schema = event_columns(workspace.stream)
    events = workspace.lake.scan([landing.events_path for landing in workspace.ledger.landings()], schema)
    # 64-bit hashes tell which ids may repeat; only those are looked at whole
    hashes = events.select(pl.col("event_id").hash()).collect().to_series()
    repeated = hashes.filter(hashes.is_duplicated()).unique()
    near = events.filter(pl.col("event_id").hash().is_in(repeated.implode()))
    places = near.select(*IDENTITY, "landing_partition", "source_uri", "position").collect()
    several = pl.struct("user_id", "event_timestamp").n_unique().over("event_id") > 1
    return places.filter(several).sort("event_id", "event_timestamp", "user_id", "landing_partition")


def _audit(workspace: Workspace, window: Window) -> tuple[int, int, int]:
    landings = [(v.events_path, v.first_event, v.last_event) for v in workspace.ledger.landings()]
    with workspace.database.transaction(read_only=True) as connection:
        loaded = [(v.path, v.first_event, v.last_event) for v in workspace.ledger.loaded_sessions(connection)]
    schema = event_columns(workspace.stream)
    accepted = _identities(workspace, landings, schema, window).unique().height
    sessionized = _identities(workspace, loaded, sessionized_columns(workspace.stream), window)
    return accepted, sessionized.height, sessionized.height - sessionized.unique().height


def _identities(
    workspace: Workspace,
    files: Sequence[tuple[str, datetime | None, datetime | None]],
    schema: dict[str, pl.DataType],
    window: Window,
) -> pl.DataFrame:
    near = [path for path, first, last in files if first and last and first < window.end and window.start <= last]
    inside = pl.col("event_timestamp").is_between(window.start, window.end, closed="left")
    return workspace.lake.scan(near, schema).filter(inside).select(IDENTITY).collect()
