"""Which session partitions a new version of a landing partition touches."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import polars as pl

from sessions_platform.contracts.calendar import Window
from sessions_platform.journey.workspace import Workspace, events_near
from sessions_platform.storage.ledger import LandingVersion, Snapshot
from sessions_platform.transforms.sessionize import touched_partitions

_POINTS = {"user_id": pl.String(), "event_timestamp": pl.Datetime("us", "UTC")}
# Of the first and the last event; None where there is none.
Span = tuple[datetime | None, datetime | None]


def touched_by(
    workspace: Workspace, landings: Sequence[LandingVersion], landing_partition: str, new: str, span: Span
) -> list[str]:
    """The session partitions to refresh once the events of the lake file `new` stand in the place of the old ones.

    `span` are the times of the first and the last of them.
    """
    old = [landing for landing in landings if landing.landing_partition == landing_partition]
    sides = [span, *((landing.first_event, landing.last_event) for landing in old)]
    times = [time for side in sides for time in side if time is not None]
    if not times:
        return []
    calendar = workspace.stream.session_calendar
    keys = calendar.keys_between(calendar.key_of(min(times)), calendar.key_of(max(times)))
    edges = pl.Series([*(calendar.window(key).start for key in keys), calendar.window(keys[-1]).end])
    edges = edges.cast(pl.Datetime("us", "UTC"))
    crossing = _users_at_edges(workspace, landings, new, edges)
    touched, near_edges = set[str](), [pl.DataFrame(schema=_POINTS)]
    for changed in _changed(workspace, [landing.events_path for landing in old], new):
        places = edges.search_sorted(changed["event_timestamp"], side="right").unique()
        touched.update(keys[place - 1] for place in places)
        near_edges.append(changed.join(crossing, on="user_id", how="semi"))
    read = workspace.reader(Snapshot(0, tuple(landings)), [new], _POINTS)
    return sorted(touched | touched_partitions(pl.concat(near_edges), read, workspace.stream))


def _users_at_edges(
    workspace: Workspace, landings: Sequence[LandingVersion], new: str, edges: pl.Series
) -> pl.DataFrame:
    """The users who have events within the gap on both sides of edges between partitions.

    All others stay within the partitions of their events, whatever changes there.
    """
    gap = workspace.stream.session.gap
    start, end = edges[0] - gap, edges[-1] + gap
    near = [*events_near(Snapshot(0, tuple(landings)), Window(start, end)), new]
    sides: tuple[list[pl.DataFrame], list[pl.DataFrame]] = ([], [])
    for points in workspace.lake.blocks(near, _POINTS, "event_timestamp", lambda a, z: a < end and start <= z):
        time = points["event_timestamp"]
        behind = edges.search_sorted(time, side="right")
        to_next = edges.gather(behind.clip(0, len(edges) - 1)) - time
        since_last = time - edges.gather((behind.cast(pl.Int64) - 1).clip(0))
        for side, distance in zip(sides, (to_next, since_last), strict=True):
            side.append(points.filter((distance >= timedelta(0)) & (distance <= gap)).select("user_id").unique())
    nobody = pl.DataFrame(schema={"user_id": pl.String})
    before, after = (pl.concat([nobody, *side]).unique() for side in sides)
    return before.join(after, on="user_id", how="semi")


def _changed(workspace: Workspace, old: Sequence[str], new: str) -> Iterator[pl.DataFrame]:
    """user_id and event_timestamp of the events that only one side holds, or that differ, in content or provenance.

    Provenance counts because it decides which copy of an event is kept.
    """
    if not old:
        yield from workspace.lake.blocks([new], _POINTS)
        return
    schema = workspace.event_columns
    buckets = workspace.buckets_for(workspace.lake.size_in_memory([*old, new]))
    before, after = (workspace.spill(schema, buckets, pl.col("user_id").hash()) for _ in range(2))
    for spill, paths in ((before, old), (after, [new])):
        for block in workspace.lake.blocks(paths, schema):
            spill.add(block)
    for number in range(buckets):
        one, other = before.bucket(number), after.bucket(number)
        gone = one.join(other, on=list(schema), how="anti", nulls_equal=True)
        come = other.join(one, on=list(schema), how="anti", nulls_equal=True)
        yield pl.concat([gone, come]).select(*_POINTS)
