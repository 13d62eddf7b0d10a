"""How time is cut into partitions.

Both axes, landing and session, are a `Calendar`: a cadence from a start on, in one
timezone. Partition keys are the window's start as text, so that they sort in time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import polars as pl


class Cadence(StrEnum):
    hourly = "hourly"
    daily = "daily"
    weekly = "weekly"
    monthly = "monthly"


_FORMAT = {Cadence.hourly: "%Y-%m-%dT%H"}
_STEP = {Cadence.daily: "1d", Cadence.weekly: "1w", Cadence.monthly: "1mo"}


@dataclass(frozen=True)
class Window:
    """Half-open, in UTC: ``start <= event_timestamp < end``."""

    start: datetime
    end: datetime

    def overlaps(self, first: datetime | None, last: datetime | None) -> bool:
        """Whether something may lie in it of what goes from `first` to `last`, both included; None for nothing."""
        return first is not None and last is not None and first < self.end and self.start <= last

    def contains(self, column: str = "event_timestamp") -> pl.Expr:
        """Whether a row's time lies in it."""
        return pl.col(column).is_between(self.start, self.end, closed="left")


@dataclass(frozen=True)
class Calendar:
    """Partitions of one cadence, from `start` on; weeks begin on Monday.

    `start` and `end` are midnights in `timezone`; `end` is exclusive, None for a
    stream that goes on.
    """

    cadence: Cadence
    start: datetime
    timezone: str = "UTC"
    end: datetime | None = None

    @property
    def key_format(self) -> str:
        return _FORMAT.get(self.cadence, "%Y-%m-%d")

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def first_key(self) -> str:
        return self.key_of(self.start)

    @property
    def first_start(self) -> datetime:
        """The start of the partition that holds `start`, in local time."""
        return self._floor(self.start.astimezone(self.zone))

    @property
    def last_end(self) -> datetime | None:
        """The end of the partition that holds the last moment before `end`."""
        return self.window(self.key_of(self.end - timedelta(microseconds=1))).end if self.end else None

    def key_of(self, moment: datetime) -> str:
        return self._floor(moment.astimezone(self.zone)).strftime(self.key_format)

    def window(self, key: str) -> Window:
        start = datetime.strptime(key, self.key_format).replace(tzinfo=self.zone)
        return Window(start.astimezone(UTC), self._next(start).astimezone(UTC))

    def window_of(self, run: Sequence[str]) -> Window:
        """The time of neighbouring partitions together."""
        return Window(self.window(run[0]).start, self.window(run[-1]).end)

    def keys_between(self, first: str, last: str) -> list[str]:
        """All keys from `first` to `last`, both included."""
        return list(self._walk(first, last))

    def key_expr(self, column: str = "event_timestamp") -> pl.Expr:
        """The partition key of each timestamp (UTC microseconds), as text.

        Days are cut as dates: where the clocks left a midnight out, no time can be truncated to it.
        """
        local = pl.col(column).dt.convert_time_zone(self.timezone)
        if self.cadence is not Cadence.hourly:
            local = local.dt.date().dt.truncate(_STEP[self.cadence])
        return local.dt.strftime(self.key_format)

    def torn_midnight(self, before: date) -> date | None:
        """The first day from `start` on that does not begin as the one before it ends; days go up to `before`.

        Clocks skipped or repeated the midnight from amid its eve: those of St. John's went from 0:01
        back to 23:01 until 2010. What lies between two such midnights is not one date.
        """
        day = self.first_start
        while day.date() < before:
            if _is_odd(day) and _is_odd(day - timedelta(microseconds=1)):
                return day.date()
            day += timedelta(days=1)
        return None

    def _walk(self, first: str, last: str) -> Iterator[str]:
        key = first
        while key <= last:
            yield key
            key = self.key_of(self.window(key).end)

    def _floor(self, local: datetime) -> datetime:
        if self.cadence is Cadence.hourly:
            return local.replace(minute=0, second=0, microsecond=0)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        if self.cadence is Cadence.weekly:
            return midnight - timedelta(days=midnight.weekday())
        return midnight.replace(day=1) if self.cadence is Cadence.monthly else midnight

    def _next(self, local: datetime) -> datetime:
        if self.cadence is Cadence.hourly:
            return (local.astimezone(UTC) + timedelta(hours=1)).astimezone(self.zone)
        if self.cadence is Cadence.monthly:
            return (local.replace(day=1) + timedelta(days=32)).replace(day=1)
        return local + timedelta(days=7 if self.cadence is Cadence.weekly else 1)


def midnight(day: date, timezone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))


def _is_odd(local: datetime) -> bool:
    """Whether the clocks skip or repeat it."""
    return local.astimezone(UTC) != local.replace(fold=1).astimezone(UTC)


def label(keys: Sequence[str]) -> str:
    """Names some partitions shortly."""
    return keys[0] if len(keys) == 1 else f"{min(keys)}...{max(keys)}"


def contiguous_runs(keys: list[str], calendar: Calendar) -> list[list[str]]:
    """Cut sorted partition keys into runs of neighbours."""
    runs: list[list[str]] = []
    for key in sorted(keys):
        if runs and calendar.key_of(calendar.window(runs[-1][-1]).end) == key:
            runs[-1].append(key)
        else:
            runs.append([key])
    return runs
