"""Which session partitions a new version of a landing partition invalidates.

Here belongs the comparison of the old and the new events, in bounded memory. Not here: how far one changed event
reaches into neighbouring partitions (`transforms/sessionize.py`), and the record of what is stale (`storage/ledger`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import polars as pl

from sessions_platform.contracts.calendar import Window
from sessions_platform.engines.accepted_events import KnownPairs
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.moved_people import Move, move_of
from sessions_platform.storage.lake.errors import MissingFileError
from sessions_platform.storage.ledger.ledger import LandingVersion, Snapshot
from sessions_platform.transforms.activity import key_columns, longest_silence, of_keys, point_columns
from sessions_platform.transforms.sessionize import affected_partitions

_TIME = pl.Datetime("us", "UTC")
_INSTANT = timedelta(microseconds=1)
# Of the first and the last event; None where there is none.
Span = tuple[datetime | None, datetime | None]


class AffectedSearch:
    """The search for what one publication invalidates, begun before the stream's lock is held.

    Where sessions are cut by person, a link may move events of any age, so all landing versions are read. What is found
    holds for just those that were current: under the lock it is asked again, with those that are current then.
    """

    def __init__(self, context: StreamContext, landing_partition: str, new: str, span: Span) -> None:
        """Arguments as for `affected_by`."""
        self._context, self._of = context, (landing_partition, new, span)
        self._pairs = KnownPairs(context.lake, context.stream)
        self._found: tuple[list[LandingVersion], list[str]] | None = None

    def begin(self) -> None:
        """Search by the landing versions that are current now, without the lock; nothing where persons do not matter.

        A file that an erasure has removed meanwhile is left to the search under the lock.
        """
        if self._context.stream.persons:
            with suppress(MissingFileError):
                self.by(self._context.ledger.landings())

    def is_short(self, landings: Sequence[LandingVersion]) -> bool:
        """Whether `by` need not read all landing versions: they were searched before, or persons do not matter."""
        return self._context.stream.persons is None or self._knows(landings)

    def by(self, landings: Sequence[LandingVersion]) -> list[str]:
        """What `affected_by` returns for these landing versions; nothing is read if they were searched by before."""
        if self._found is None or not self._knows(landings):
            self._found = list(landings), affected_by(self._context, landings, *self._of, self._pairs)
        return self._found[1]

    def _knows(self, landings: Sequence[LandingVersion]) -> bool:
        return self._found is not None and self._found[0] == list(landings)


def affected_by(
    context: StreamContext,
    landings: Sequence[LandingVersion],
    landing_partition: str,
    new: str,
    span: Span,
    known: KnownPairs,
) -> list[str]:
    """The session partitions to refresh once the events of a lake file replace the current ones.

    Args:
        context: the stream's.
        landings: the landing versions that are current.
        landing_partition: whose events are replaced.
        new: path of the lake file with the new events.
        span: timestamps of the first and the last of these.
        known: pairs that were read before.

    Returns:
        Keys of the session calendar, sorted.
    """
    old = [landing for landing in landings if landing.landing_partition == landing_partition]
    move = move_of(context, landings, old, new, known)
    of_moved = landings if move.ids.len() else old
    sides = [span, *((landing.first_event, landing.last_event) for landing in of_moved)]
    times = [time for side in sides for time in side if time is not None]
    if not times:
        return []
    calendar = context.stream.session_calendar
    keys = calendar.keys_between(calendar.key_of(min(times)), calendar.key_of(max(times)))
    starts = pl.Series([calendar.window(key).start for key in keys], dtype=_TIME)
    in_file = _changed(context, [landing.events_path for landing in old], new)
    moved = context.spill(point_columns(context.stream))  # they are asked for twice, and all files are read for them
    for block in move.events(context, [*(landing.events_path for landing in landings), new]):
        moved.add(block)

    def changed() -> Iterator[pl.DataFrame]:
        yield from map(move.both_sides, in_file())
        yield from moved.chunks()

    begun = (starts.search_sorted(points["event_timestamp"], side="right").unique() for points in changed())
    affected = {keys[count - 1] for counts in begun for count in counts}
    crossing = _users_at_edges(context, landings, new, affected, move)
    near_edges = [points.join(crossing, on="user_id", how="semi") for points in changed()]
    points = point_columns(context.stream)
    read = context.reader(Snapshot(0, tuple(landings)), [new], points, move.resolve)
    near = pl.concat([pl.DataFrame(schema=points), *near_edges])
    return sorted(affected | affected_partitions(near, read, context.stream))


def _users_at_edges(
    context: StreamContext, landings: Sequence[LandingVersion], new: str, affected: Iterable[str], move: Move
) -> pl.DataFrame:
    """The users who have events of one key within the longest silence on both sides of an edge of these partitions.

    Sessions of all other users stay within the partitions of their events. Only events near an edge are read,
    however far apart the partitions are.
    """
    rule, points_of = context.stream.session, point_columns(context.stream)
    gap, windows = rule.longest_silence, map(context.stream.session_calendar.window, affected)
    edges = sorted({edge for window in windows for edge in (window.start, window.end)})

    def is_near(first: datetime | None, last: datetime | None) -> bool:
        return any(Window(edge - gap, edge + gap + _INSTANT).overlaps(first, last) for edge in edges)

    files = [landing.events_path for landing in landings if is_near(landing.first_event, landing.last_event)]
    at, keys = pl.Series(edges, dtype=_TIME), key_columns(rule)
    sides: tuple[list[pl.DataFrame], list[pl.DataFrame]] = ([], [])
    for points in map(move.both_sides, context.lake.blocks([*files, new], points_of, "event_timestamp", is_near)):
        time = points["event_timestamp"]
        behind = at.search_sorted(time, side="right")
        to_next = at.gather(behind.clip(0, len(edges) - 1)) - time
        since_last = time - at.gather((behind.cast(pl.Int64) - 1).clip(0))
        distances = points.with_columns(_before=to_next, _after=since_last)
        for side, name in zip(sides, ("_before", "_after"), strict=True):
            is_within = (pl.col(name) >= timedelta(0)) & (pl.col(name) <= longest_silence(rule))
            side.append(distances.filter(is_within).select(keys).unique())
    no_keys = pl.DataFrame(schema={name: points_of[name] for name in keys})
    before, after = (pl.concat([no_keys, *side]).unique() for side in sides)
    return of_keys(before, after).select("user_id").unique()


def _changed(context: StreamContext, old: Sequence[str], new: str) -> Callable[[], Iterator[pl.DataFrame]]:
    """A function that yields ``point_columns`` of events that only one side has, or that differ.

    It may be called several times. Provenance counts as a difference, because it decides which duplicate is kept.
    """
    points = point_columns(context.stream)
    if not old:
        return lambda: context.lake.blocks([new], points)
    schema = context.event_columns
    buckets = context.buckets_for(context.lake.size_in_memory([*old, new]))
    before, after = (context.spill(schema, buckets, pl.col("user_id").hash()) for _ in range(2))
    for spill, paths in ((before, old), (after, [new])):
        for block in context.lake.blocks(paths, schema):
            spill.add(block)
    changed = context.spill(points)
    for number in range(buckets):
        one, other = before.bucket(number), after.bucket(number)
        changed.add(one.join(other, on=list(schema), how="anti", nulls_equal=True).select(*points))
        changed.add(other.join(one, on=list(schema), how="anti", nulls_equal=True).select(*points))
    return changed.chunks
