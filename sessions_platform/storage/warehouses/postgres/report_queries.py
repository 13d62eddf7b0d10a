"""What a report counts in the table of sessions.

Each query returns counts, and as many rows as there are days, classes or places in a list: never one for each session.
Not here: what is shown of them, and which classes there are (`operations/report`), and the queries of status and audit
(`queries.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.sql import SQL, Composable, Identifier, Literal

from sessions_platform.storage.warehouses.postgres.tables import WarehouseTables

Rows = list[tuple[Any, ...]]

_TOTALS = SQL("""
select count(*), coalesce(sum(event_count), 0)::bigint, min(session_start), max(session_start),
    max(duration_seconds), max(event_count)
from {sessions}""")
_USERS = SQL("select count(*) from (select from {sessions} group by user_id) u")
_BY_PERIOD = SQL("""
select period, sum(sessions)::bigint, count(*)
from (
    select date_trunc({unit}, session_start at time zone {timezone})::date as period, user_id, count(*) as sessions
    from {sessions} group by 1, 2
) by_user
group by 1 order by 1""")
# One pass over the table for all three. Starts are counted by pieces of an hour, in UTC, as finding the local hour of
# each session would take as long as the rest.
_DISTRIBUTIONS = SQL("""
select duration, events, extract(isodow from piece at time zone {timezone})::int,
    extract(hour from piece at time zone {timezone})::int, sum(sessions)::bigint
from (
    select duration, events, piece, count(*) as sessions
    from (
        select width_bucket(duration_seconds, {durations}::double precision[]) as duration,
            width_bucket(event_count, {counts}::bigint[]) as events,
            date_bin({length}, session_start, timestamptz '2000-01-01 00:00+00') as piece
        from {sessions}
    ) classified
    group by grouping sets ((duration), (events), (piece))
) counted
group by 1, 2, 3, 4""")
# Since 1980 the hours of all timezones begin at a quarter of an hour of UTC; before, at a second.
_QUARTER, _SECOND = timedelta(minutes=15), timedelta(seconds=1)
QUARTERS_SINCE = datetime(1980, 1, 1, tzinfo=UTC)
_MOST_FREQUENT = SQL("""
select {column}, count(*) as sessions, count(*) over () as values from {sessions} where {column} is not null
group by 1 order by 2 desc, 1 limit {limit}""")


@dataclass(frozen=True)
class Totals:
    """Counts of all sessions, and their extremes, which are None where there is no session."""

    sessions: int
    events: int
    first_start: datetime | None
    last_start: datetime | None
    longest_seconds: float | None
    most_events: int | None
    users: int


@dataclass(frozen=True)
class Distributions:
    """Numbers of sessions by class. A class is the number of bounds that a value is not below."""

    by_duration: dict[int, int]
    by_events: dict[int, int]
    by_hour: dict[tuple[int, int], int]  # by ISO weekday (1 is Monday) and hour of the start


class ReportQueries:
    """Counts of one stream's sessions, inside the connection's transaction.

    Args:
        tables: the stream's.
        timezone: an IANA name: of days, weekdays and hours.
        since: only sessions that start at this moment or later; all where absent.
    """

    def __init__(self, tables: WarehouseTables, timezone: str, since: datetime | None = None) -> None:
        after = SQL("session_start >= {}").format(Literal(since)) if since else SQL("true")
        table = tables.sessions.identifier
        self._parts: dict[str, Composable] = {
            "sessions": SQL("(select * from {} where {}) s").format(table, after),
            "timezone": Literal(timezone),
        }

    def prepare(self, connection: psycopg.Connection) -> None:
        """Give the transaction enough memory to group a million users without temporary files."""
        connection.execute("set local work_mem = '128MB'")

    def totals(self, connection: psycopg.Connection) -> Totals:
        """Counts of all sessions."""
        ((users,),) = self._rows(connection, _USERS)
        (totals,) = self._rows(connection, _TOTALS)
        return Totals(*totals, users=users)

    def by_period(self, connection: psycopg.Connection, unit: str) -> Rows:
        """First day of each period with sessions, in order, with the numbers of sessions and of users.

        Args:
            connection: in a transaction.
            unit: day, week or month.
        """
        return self._rows(connection, _BY_PERIOD, unit=Literal(unit))

    def distributions(
        self,
        connection: psycopg.Connection,
        durations: Sequence[float],
        counts: Sequence[int],
        first_start: datetime | None,
    ) -> Distributions:
        """How many sessions are how long, have how many events, and start at which hour of the week.

        Args:
            connection: in a transaction.
            durations: ascending bounds of the classes of durations, in seconds.
            counts: ascending bounds of the classes of events per session.
            first_start: of all sessions, as `totals` has it.
        """
        found = Distributions({}, {}, {})
        has_quarters = first_start is not None and first_start >= QUARTERS_SINCE
        rows = self._rows(
            connection,
            _DISTRIBUTIONS,
            durations=Literal(list(durations)),
            counts=Literal(list(counts)),
            length=Literal(_QUARTER if has_quarters else _SECOND),
        )
        for duration, events, weekday, hour, sessions in rows:
            if duration is not None:
                found.by_duration[duration] = sessions
            elif events is not None:
                found.by_events[events] = sessions
            else:
                found.by_hour[weekday, hour] = sessions
        return found

    def most_frequent(self, connection: psycopg.Connection, column: str, limit: int) -> Rows:
        """The most frequent values of a column of text, each with its number of sessions and the number of values."""
        return self._rows(connection, _MOST_FREQUENT, column=Identifier(column), limit=Literal(limit))

    def _rows(self, connection: psycopg.Connection, query: SQL, **parts: Composable) -> Rows:
        return connection.execute(query.format(**self._parts, **parts)).fetchall()
