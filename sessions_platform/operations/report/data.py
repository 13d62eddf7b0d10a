"""What a report counts, as one record.

Counts of sessions come from the warehouse, as the reader sees it; counts of raw rows from the ledger; silences and
delays from the lake (`lake_counts.py`). Nothing here grows with the number of sessions or events. Not here: words and
pictures.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sessions_platform.contracts.calendar import midnight
from sessions_platform.contracts.stream import Stream
from sessions_platform.operations.report.lake_counts import Delays, count_delays, count_silences
from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.storage.postgres.database import exported_snapshot
from sessions_platform.storage.warehouses.postgres.report_queries import Distributions, ReportQueries, Totals
from sessions_platform.transforms.silences import GAPS, Silences

# Bounds of classes, ascending: seconds, and numbers of events.
DURATIONS = (1, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
EVENTS = (2, 3, 4, 5, 6, 11, 21, 51, 101, 1001)
_SECOND, _MINUTE, _HOUR, _DAY = (timedelta(seconds=seconds) for seconds in (1, 60, 3600, 86400))
_SILENCES = (
    *(n * _SECOND for n in (1, 10, 30)),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 20, 30, 45, 60)),
    *(n * _HOUR for n in (2, 6)),
    *(n * _DAY for n in (1, 7)),
)
_LISTED = 10
LISTS = ("primary_action", "entry_page", "exit_page")
# How many periods of a unit are legible beside each other: of a span up to these many days.
_MOST_DAYS = {"day": 62, "week": 500}


@dataclass(frozen=True)
class Period:
    """A day, week or month by its first day."""

    first_day: date
    sessions: int
    users: int


@dataclass(frozen=True)
class Arrivals:
    """The rows of landing partitions of one period, by the period's first day."""

    first_day: date
    raw_rows: int
    rejected: int
    by_reason: dict[str, int]


@dataclass(frozen=True)
class MostFrequent:
    """The most frequent values of a column of the sessions, and how many values there are."""

    values: tuple[tuple[str, int], ...]
    different: int


@dataclass(frozen=True)
class ReportData:
    """All counts of a report.

    `since` is the first day in the session timezone; sessions that start before it, events and landing partitions of
    before it are left out. `unit` is day, week or month, of `periods`; `arrival_unit` the same of `arrivals`.
    """

    stream: Stream
    since: date | None
    made_at: datetime
    totals: Totals
    unit: str
    periods: tuple[Period, ...]
    distributions: Distributions
    most_frequent: dict[str, MostFrequent]
    silences: Silences
    delays: Delays
    arrival_unit: str
    arrivals: tuple[Arrivals, ...]
    stale_sessions: tuple[str, ...]
    pending_landing: tuple[str, ...]


def report_data(
    context: StreamContext, since: date | None = None, meanwhile: Callable[[], None] = lambda: None
) -> ReportData:
    """Count everything that a report shows.

    The server counts sessions, all as of one moment, while this process counts events: those may be of a moment before.

    Args:
        context: the stream's.
        since: the first day, in the stream's session timezone; everything where absent.
        meanwhile: is called once events are counted, while the server may still count sessions.
    """
    context.prepare()
    stream = context.stream
    moment = midnight(since, stream.session.timezone).astimezone(UTC) if since else None
    landings = context.ledger.landings()
    with ThreadPoolExecutor(1) as thread:
        asked = thread.submit(_of_sessions, context, moment)
        of_events = _of_events(context, landings, moment)
        meanwhile()
        of_sessions = asked.result()
    return ReportData(
        *(stream, since, datetime.now(UTC)),
        *of_sessions,
        *of_events,
        *_arrivals(landings, since),
        tuple(context.stale_session_partitions()),
        tuple(pending_landing_partitions(context)),
    )


def _of_sessions(
    context: StreamContext, since: datetime | None
) -> tuple[Totals, str, tuple[Period, ...], Distributions, dict[str, MostFrequent]]:
    """Counts of sessions, all as of one moment, by two connections: each keeps one core of the server busy."""
    queries = ReportQueries(context.tables, context.stream.session.timezone, since)
    with context.database.reading() as connection, ThreadPoolExecutor(1) as thread:
        queries.prepare(connection)
        totals = queries.totals(connection)
        asked = thread.submit(_by_class, context, queries, exported_snapshot(connection), totals.first_start)
        unit = _unit((totals.last_start - totals.first_start).days if totals.first_start and totals.last_start else 0)
        periods = _periods(queries.by_period(connection, unit), unit)
        distributions, lists = asked.result()
    return totals, unit, periods, distributions, lists


def _by_class(
    context: StreamContext, queries: ReportQueries, snapshot: str, first_start: datetime | None
) -> tuple[Distributions, dict[str, MostFrequent]]:
    with context.database.reading(snapshot) as connection:
        queries.prepare(connection)
        distributions = queries.distributions(connection, DURATIONS, EVENTS, first_start)
        lists = {name: _most_frequent(queries.most_frequent(connection, name, _LISTED)) for name in LISTS}
    return distributions, lists


def _of_events(
    context: StreamContext, landings: Sequence[LandingVersion], since: datetime | None
) -> tuple[Silences, Delays]:
    gap = context.stream.session.gap
    gaps, bounds = sorted({*GAPS, gap}), sorted({*_SILENCES, gap})
    return count_silences(context, landings, since, gaps, bounds), count_delays(context, landings, since)


def _most_frequent(rows: Sequence[tuple[str, int, int]]) -> MostFrequent:
    return MostFrequent(tuple((value, sessions) for value, sessions, _ in rows), rows[0][2] if rows else 0)


def _periods(rows: Sequence[tuple[date, int, int]], unit: str) -> tuple[Period, ...]:
    """The periods of the rows and, without sessions, those between them."""
    found = {day: Period(day, sessions, users) for day, sessions, users in rows}
    return tuple(found.get(day, Period(day, 0, 0)) for day in _every(list(found), unit))


def _arrivals(landings: Sequence[LandingVersion], since: date | None) -> tuple[str, tuple[Arrivals, ...]]:
    """The unit, and the rows of each period in which something landed."""
    days = {landing.landing_partition: date.fromisoformat(landing.landing_partition[:10]) for landing in landings}
    wanted = [landing for landing in landings if since is None or days[landing.landing_partition] >= since]
    known = [days[landing.landing_partition] for landing in wanted]
    unit = _unit((max(known) - min(known)).days if known else 0)
    periods: dict[date, list[LandingVersion]] = {}
    for landing in wanted:
        periods.setdefault(_floor(days[landing.landing_partition], unit), []).append(landing)
    return unit, tuple(_arrivals_of(day, periods.get(day, [])) for day in _every(list(periods), unit))


def _arrivals_of(day: date, landings: Sequence[LandingVersion]) -> Arrivals:
    by_reason: Counter[str] = Counter()
    for landing in landings:
        by_reason.update(landing.rejected_by_reason)
    raw, rejected = (sum(getattr(landing, name) for landing in landings) for name in ("raw_rows", "rejected"))
    return Arrivals(day, raw, rejected, dict(by_reason))


def _unit(days: int) -> str:
    """Day, week or month: the shortest of which a span of these many days has not too many."""
    return next((unit for unit, most in _MOST_DAYS.items() if days <= most), "month")


def _floor(day: date, unit: str) -> date:
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day


def _every(days: Sequence[date], unit: str) -> list[date]:
    """The first days of all periods from the first of these to the last."""
    every = [min(days)] if days else []
    while every and every[-1] < max(days):
        every.append(_floor(every[-1] + timedelta(days={"day": 1, "week": 7, "month": 31}[unit]), unit))
    return every
