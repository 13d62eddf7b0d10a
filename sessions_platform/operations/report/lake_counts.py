"""What a report counts over the accepted events of the lake: silences, and how late events arrived.

Memory is bounded whatever the number of events: of silences two columns are read, and dealt by user into buckets where
they are many; of delays nothing is kept but counts. Not here: what a silence is and what a gap gives
(`transforms/silences.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import polars as pl

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.polars_types import in_window
from sessions_platform.engines.accepted_events import events_near, resolve_by
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms.activity import is_active
from sessions_platform.transforms.silences import Silences, silences

DELAYS = (
    *(timedelta(hours=hours) for hours in (1, 6)),
    *(timedelta(days=days) for days in (1, 2, 3, 7, 14, 30, 90, 365)),
)
_ENDLESS = datetime.max.replace(tzinfo=UTC)
# A user id and a timestamp, as polars keeps them, and how much less memory counting needs than what a bucket is meant
# for, which is a partition with all of its columns.
_BYTES_OF_EVENT, _SHARE = 32, 8


@dataclass(frozen=True)
class Delays:
    """How late accepted events arrived.

    Attributes:
        events: how many there are.
        late: of these, by class, those that are older than the landing partition that they arrived in. A class is the
            number of `DELAYS` that the time from the event to the end of that partition reaches.
    """

    events: int
    late: dict[int, int]


def count_silences(
    context: StreamContext,
    landings: Sequence[LandingVersion],
    since: datetime | None,
    gaps: Sequence[timedelta],
    bounds: Sequence[timedelta],
) -> Silences:
    """The silences of all users, and the sessions that each gap would give, exactly, over all landing partitions.

    Where sessions are cut by person, the users are people. Passive events are left out, since they neither open nor
    extend sessions.

    Args:
        context: the stream's; its `memory` is what rows may take.
        landings: the published landing partitions that are read.
        since: earlier events are left out, as if there were none.
        gaps: as for `silences`.
        bounds: as for `silences`.
    """
    window = Window(since or datetime.min.replace(tzinfo=UTC), _ENDLESS)
    paths = events_near(landings, window)
    rule = context.stream.session
    looked_at = ("user_id", "event_timestamp", *(["event_type"] if rule.passive else []))
    schema = {name: context.event_columns[name] for name in looked_at}
    wanted = in_window(window) & is_active(rule)
    count = partial(
        silences,
        gaps=gaps,
        bounds=bounds,
        gap_inclusive=rule.gap_inclusive,
        precision=rule.precision,
        silence_begins=rule.silence_begins,
    )
    size = sum(landing.accepted for landing in landings) * _BYTES_OF_EVENT
    buckets = context.buckets_for(size // _SHARE)
    resolve = resolve_by(context.lake, context.stream, landings)
    if buckets == 1:
        events = context.lake.scan(paths, schema, "event_timestamp", window.overlaps).filter(wanted)
        return count(resolve(events).select(looked_at))
    spill = context.spill(schema, buckets, pl.col("user_id").hash())
    for block in context.lake.blocks(paths, schema, "event_timestamp", window.overlaps):
        spill.add(resolve(block.lazy().filter(wanted)).select(looked_at).collect())
    parts = (count(spill.bucket(n)) for n in range(buckets))
    return _sum(list(parts))


def count_delays(context: StreamContext, landings: Sequence[LandingVersion], since: datetime | None) -> Delays:
    """How many events are older than their landing partition, and by how much; arguments as for `count_silences`."""
    window = Window(since or datetime.min.replace(tzinfo=UTC), _ENDLESS)
    names = ("event_timestamp", "landing_partition")
    schema = {name: context.event_columns[name] for name in names}
    events = context.lake.scan(events_near(landings, window), schema, "event_timestamp", window.overlaps)
    delay = pl.col("_end") - pl.col("event_timestamp")
    reached = pl.sum_horizontal(delay >= bound for bound in DELAYS)
    counts = (
        events.filter(in_window(window))
        .join(_windows(context, landings), on="landing_partition")
        .select(_class=pl.when(pl.col("event_timestamp") < pl.col("_start")).then(reached))
        .group_by("_class")
        .len()
        .collect(engine="streaming")
    )
    by_class = dict(counts.iter_rows())
    return Delays(sum(by_class.values()), {n: count for n, count in sorted(by_class.items(), key=str) if n is not None})


def _windows(context: StreamContext, landings: Sequence[LandingVersion]) -> pl.LazyFrame:
    """Start and end of each landing partition."""
    keys = [landing.landing_partition for landing in landings]
    windows = [context.stream.landing_calendar.window(key) for key in keys]
    time = context.event_columns["event_timestamp"]
    return pl.LazyFrame(
        {"landing_partition": keys, "_start": [w.start for w in windows], "_end": [w.end for w in windows]},
        {"landing_partition": pl.String(), "_start": time, "_end": time},
    )


def _sum(parts: Sequence[Silences]) -> Silences:
    """The counts of users who were counted in parts; each part has the same classes and gaps."""
    histogram, sessions = parts[0].histogram, parts[0].sessions
    return Silences(
        histogram.with_columns(silences=pl.sum_horizontal(part.histogram["silences"] for part in parts)),
        sessions.with_columns(sessions=pl.sum_horizontal(part.sessions["sessions"] for part in parts)),
        sum(part.events for part in parts),
        sum(part.users for part in parts),
    )
