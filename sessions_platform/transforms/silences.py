"""How long users are silent between two events, and how many sessions each gap would give.

Here: exact counts over all events that are given, by which a stream's gap is chosen. Not here: the session rule itself
(``transforms.sessionize``), and where the events come from: a sample (``operations.preview``), or whole partitions.

Only the gap is varied. The other rules that end sessions (`split_at_midnight`, `campaign`, `cut_on`, `max_length`) are
left out: where a stream has one of them, it has more sessions than are counted here. Passive events are the caller's to
leave out.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import polars as pl

from sessions_platform.contracts.session_rule import TimeUnit

GAPS = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 15, 20, 30, 45, 60, 120))
BOUNDS = (timedelta(minutes=1), *GAPS, timedelta(hours=6), timedelta(days=1), timedelta(days=7))

_DURATION = pl.Duration("us")
_MOST = 2**63 - 1


class Silences(NamedTuple):
    """What ``silences`` returns.

    Attributes:
        histogram: a row for each class of silences, shortest first: longer_than and up_to (Duration, us; null where
            there is no such bound), and silences (Int64), their number. With `gap_inclusive` a silence of exactly a
            bound is in the class above it, else in the one below: as with a gap of that length.
        sessions: a row for each gap, in the order given: gap (Duration, us) and sessions (Int64).
        events: how many events there are.
        users: how many users have at least one.
    """

    histogram: pl.DataFrame
    sessions: pl.DataFrame
    events: int
    users: int


def silences(
    events: pl.DataFrame | pl.LazyFrame,
    gaps: Sequence[timedelta] = GAPS,
    bounds: Sequence[timedelta] = BOUNDS,
    *,
    gap_inclusive: bool = False,
    precision: TimeUnit = "us",
    silence_begins: TimeUnit = "us",
) -> Silences:
    """Count the silences between successive events of one user, and the sessions that each gap would give.

    One sort and one pass over the events, whatever the number of gaps. Exact to the microsecond. A duplicate of an
    event adds a silence of zero, and no session.

    Args:
        events: user_id (String) and event_timestamp (Datetime, us), none null; any order, other columns are ignored.
        gaps: a session continues while silence <= gap; with `gap_inclusive` while silence < gap.
        bounds: of the histogram's classes, ascending, without repeats.
        gap_inclusive: as in the session rule: whether a silence of exactly the gap ends a session.
        precision: as in the session rule: the unit in which silences are measured; `gaps` are whole numbers of it.
        silence_begins: as of ``SessionRule``: to what the time of the event before a silence is floored.
    """
    lengths = [*gaps, *bounds]
    is_same_user = pl.col("user") == pl.col("user").shift()
    silence = pl.when(is_same_user).then(_floored(precision) - _floored(silence_begins).shift())
    counts = (
        _in_order(events)
        .lazy()
        .select(_silence=silence)
        .select(
            pl.len(),
            pl.count("_silence"),
            *(_ending(length, gap_inclusive).alias(str(n)) for n, length in enumerate(lengths)),
        )
    )
    count, between, *cuts = counts.collect(engine="streaming").row(0)
    users = count - between
    of_gaps, of_bounds = cuts[: len(gaps)], cuts[len(gaps) :]
    sessions = pl.DataFrame(
        {"gap": list(gaps), "sessions": [users + ended for ended in of_gaps]},
        {"gap": _DURATION, "sessions": pl.Int64()},
    )
    return Silences(_histogram(bounds, [between, *of_bounds]), sessions, count, users)


def _in_order(events: pl.DataFrame | pl.LazyFrame) -> pl.DataFrame:
    """A number of the user, as `user`, and the time, as `time`, of each event, by user and time.

    Both are one integer where 63 bits have room for them, which sorts in a fifth of the time of two columns.
    """
    user = pl.col("user_id").cast(pl.Categorical(pl.Categories.random())).to_physical().cast(pl.Int64)
    numbered = events.lazy().select(user=user, time="event_timestamp").collect(engine="streaming")
    time = pl.col("time").to_physical()
    first, last, users = numbered.select(time.min().alias("first"), time.max().alias("last"), pl.max("user")).row(0)
    if numbered.is_empty() or (users + 1) * (last - first + 1) > _MOST:
        return numbered.sort("user", "time")
    span = last - first + 1
    packed = numbered.select(_packed=pl.col("user") * span + (time - first)).to_series().sort().to_frame()
    at = (pl.col("_packed") % span + first).cast(numbered.schema["time"])
    return packed.select(user=pl.col("_packed") // span, time=at)


def _floored(unit: TimeUnit) -> pl.Expr:
    return pl.col("time").dt.truncate(f"1{unit}") if unit != "us" else pl.col("time")


def _ending(length: timedelta, gap_inclusive: bool) -> pl.Expr:
    """How many silences would end a session if the gap had this length."""
    limit = pl.lit(length, _DURATION)
    return (pl.col("_silence") >= limit if gap_inclusive else pl.col("_silence") > limit).sum().cast(pl.Int64)


def _histogram(bounds: Sequence[timedelta], longer: Sequence[int]) -> pl.DataFrame:
    """The classes between the bounds; `longer` counts the silences above each bound, and before these all of them."""
    counts = [above - beyond for above, beyond in zip(longer, [*longer[1:], 0], strict=True)]
    schema = {"longer_than": _DURATION, "up_to": _DURATION, "silences": pl.Int64()}
    return pl.DataFrame({"longer_than": [None, *bounds], "up_to": [*bounds, None], "silences": counts}, schema)
