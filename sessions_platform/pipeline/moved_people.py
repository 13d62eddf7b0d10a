"""Whose events come to be other people's by a new version of a landing partition, where sessions are cut by person.

A link that comes or goes moves all events of an anonymous id from one person to another, whenever they were, so the
activity chains of both change there. Here: which ids those are, their events, and events as they are on both sides of
the change. Not here: which session partitions follow from it (`invalidation.py`), and the rule (`transforms.people`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from sessions_platform.engines.accepted_events import KnownPairs, pairs_in
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms.activity import point_columns
from sessions_platform.transforms.people import Resolve, moved_ids, people_of, resolving


@dataclass(frozen=True)
class Move:
    """What a change of links does to whose events are.

    Attributes:
        ids: those in user_id whose person differs; none where sessions are not a person's.
        resolve: gives events their person, before the change and after it: an event of another person then is there
            twice.
    """

    ids: pl.Series
    resolve: Resolve

    def both_sides(self, points: pl.DataFrame) -> pl.DataFrame:
        """``point_columns`` of accepted events with their person, before and after."""
        return self.resolve(points.lazy()).select(points.columns).collect()

    def events(self, context: StreamContext, paths: Sequence[str]) -> Iterator[pl.DataFrame]:
        """``point_columns`` of all events of the moved ids in these lake files, with their person on both sides.

        All files are read, for an id may have been seen at any time; nothing is where no id moves.
        """
        if self.ids.is_empty():
            return
        for block in context.lake.blocks(paths, point_columns(context.stream)):
            moved = block.filter(pl.col("user_id").is_in(self.ids.implode()))
            if moved.height:
                yield self.both_sides(moved)


def move_of(
    context: StreamContext,
    landings: Sequence[LandingVersion],
    old: Sequence[LandingVersion],
    new: str,
    known: KnownPairs,
) -> Move:
    """What the links of a lake file do that replaces landing versions.

    Args:
        context: the stream's.
        landings: the landing versions that are current.
        old: those among them that are replaced.
        new: path of the lake file with the new events.
        known: pairs of files that stay, where they were read before.
    """
    stream = context.stream
    if stream.persons is None:
        return Move(pl.Series(dtype=pl.String), lambda events: events)
    gone, come = (pairs_in(context.lake, stream, paths) for paths in ([one.events_path for one in old], [new]))
    others = known.of(landing.events_path for landing in landings if landing not in old)
    before, after = (people_of(pl.concat([others, pairs]), stream.persons.shared_above) for pairs in (gone, come))
    ids = moved_ids(before, after)
    return Move(ids, _both(resolving(before), resolving(after), ids))


def _both(before: Resolve, after: Resolve, ids: pl.Series) -> Resolve:
    def resolve(events: pl.LazyFrame) -> pl.LazyFrame:
        moved = events.filter(pl.col("user_id").is_in(ids.implode()))
        return pl.concat([before(events), after(moved)])

    return resolve
