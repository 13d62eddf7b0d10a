"""Session lineage: for each session that a load removes, the session that contains its events now.

Here belongs the search for it in the lake, while the load's transaction is open. Not here: how the answer is recorded
as `merged_into` (`storage/warehouses`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from sessions_platform.contracts.calendar import contiguous_runs
from sessions_platform.contracts.column_types import OWN_USER_ID
from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.engines.accepted_events import KnownPairs
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.ledger.ledger import LandingVersion, SessionVersion, Snapshot
from sessions_platform.transforms.activity import is_active, point_columns
from sessions_platform.transforms.sessionize import EventReader, affected_partitions, sessionize_window
from sessions_platform.transforms.sort_events import IDENTITY, time_order


def find_merged_into(
    context: StreamContext,
    landings: Sequence[LandingVersion],
    old: Sequence[SessionVersion],
    new: Sequence[SessionVersion],
    vanished: Sequence[str],
    known: KnownPairs | None = None,
) -> dict[str, str]:
    """Find the session that each vanished session was merged into: the one with its earliest surviving event.

    Args:
        context: the stream's.
        landings: the landing versions that are current.
        old: session versions that the load replaces; the vanished sessions are in them.
        new: session versions that the load loads.
        vanished: session ids that are in `old` and not in `new`.
        known: pairs of lake files that were read before, where sessions are cut by person.

    Returns:
        Session id by vanished session id; none where no event survives.
    """
    schema, order = sessionized_columns(context.stream), time_order(context.stream)
    columns = list(dict.fromkeys([*IDENTITY, *order, *point_columns(context.stream)]))
    before = _as_accepted(context, [version.path for version in old], schema)
    lost = before.filter(pl.col("session_id").is_in(list(vanished)))
    resolve = (known or KnownPairs(context.lake, context.stream)).resolve(landings)
    events = resolve(lost).select(*columns, _vanished="session_id").collect()
    loaded = _sessions_loaded(context, [version.path for version in new], events)
    read = context.reader(Snapshot(0, tuple(landings)), resolve=resolve)
    elsewhere = _sessions_elsewhere(context, read, events.join(loaded, on=IDENTITY, how="anti"))
    passive_last = [~is_active(context.stream.session)] if context.stream.session.passive else []
    survivors = pl.concat([loaded, events.join(elsewhere, on=IDENTITY)])
    survivors = survivors.sort("event_timestamp", *passive_last, *order, nulls_last=True)
    survivors = survivors.filter(pl.col("session_id").is_not_null())  # a passive event may be in no session now
    first = survivors.unique("_vanished", keep="first", maintain_order=True)
    return dict(first.select("_vanished", "session_id").iter_rows())


def _as_accepted(context: StreamContext, paths: Sequence[str], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """Sessionized events of these files with the users that they had as they were accepted.

    A rule before may have cut by person where this one does not, and the other way round.
    """
    if OWN_USER_ID in context.event_columns:  # the stream's own column, of which no rule by person is possible
        return context.lake.scan(paths, schema)
    events = context.lake.scan(paths, {**schema, OWN_USER_ID: pl.String()})
    return events.with_columns(user_id=pl.coalesce(OWN_USER_ID, "user_id"))


def _sessions_loaded(context: StreamContext, paths: Sequence[str], events: pl.DataFrame) -> pl.DataFrame:
    """The sessions of this load that contain these events; read one file at a time."""
    schema = sessionized_columns(context.stream)
    sessions = [events.clear().with_columns(session_id=pl.lit(None, pl.String))]
    users = events["user_id"].unique().implode()
    for path in paths:
        after = context.lake.scan([path], schema).filter(pl.col("user_id").is_in(users))
        sessions.append(events.join(after.select(*IDENTITY, "session_id").collect(), on=IDENTITY))
    return pl.concat(sessions)


def _sessions_elsewhere(context: StreamContext, read_all: EventReader, lost: pl.DataFrame) -> pl.DataFrame:
    """The sessions of other partitions that contain these events; of stale partitions, as a refresh will make them."""
    stream, affected_users = context.stream, lost["user_id"].unique()

    def read(start: datetime, end: datetime, users: pl.Series | None = None) -> pl.DataFrame:
        return read_all(start, end, affected_users if users is None else users)

    sessions = [pl.DataFrame(schema={name: lost.schema[name] for name in IDENTITY} | {"session_id": pl.String})]
    affected = affected_partitions(lost.select(*point_columns(stream)), read, stream)
    for run in contiguous_runs(sorted(affected), stream.session_calendar):
        window = stream.session_calendar.window_of(run)
        sessions.append(sessionize_window(window, read, stream).events.select(*IDENTITY, "session_id"))
    return pl.concat(sessions)
