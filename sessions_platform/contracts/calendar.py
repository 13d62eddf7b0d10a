"""How time is divided into partitions, in plain Python.

Both axes, landing and session, are a ``Calendar``: a cadence that begins at a start, in one
timezone. A partition key is the start of its window as local text, so that keys sort in time.
Not here: the same as a polars expression (``polars_types.key_expr``), which tests compare
with this, and Dagster's partitions definitions (``orchestration.partitions``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo


class Cadence(StrEnum):
    """How long a partition is. Weeks begin on Monday, as in ISO 8601; months on their first day."""

    hourly = "hourly"
    daily = "daily"
    weekly = "weekly"
    monthly = "monthly"


_HOUR_FORMAT, _DAY_FORMAT = "%Y-%m-%dT%H", "%Y-%m-%d"


class Window(NamedTuple):
    """A half-open interval in UTC: ``start <= event_timestamp < end``.

    As a polars expression: ``polars_types.in_window``.
    """

    start: datetime
    end: datetime

    def overlaps(self, first: datetime | None, last: datetime | None) -> bool:
        """Whether any moment from ``first`` to ``last``, both included, can lie in the window.

        None for either means that there are no moments, which overlap nothing.
        """
        return first is not None and last is not None and first < self.end and self.start <= last


@dataclass(frozen=True)
class Calendar:
    """Partitions of one cadence, from ``start`` on.

    Attributes:
        cadence: the length of a partition.
        start: a midnight in ``timezone``; the first partition contains it.
        timezone: an IANA name. An hourly calendar is in UTC only (``stream_checks``).
        end: a midnight in ``timezone``, exclusive; None for a stream without an end.
    """

    cadence: Cadence
    start: datetime
    timezone: str = "UTC"
    end: datetime | None = None

    @property
    def key_format(self) -> str:
        """The ``strftime`` pattern of a partition key."""
        return _HOUR_FORMAT if self.cadence is Cadence.hourly else _DAY_FORMAT

    @property
    def zone(self) -> ZoneInfo:
        """The timezone as Python has it."""
        return ZoneInfo(self.timezone)

    @property
    def first_key(self) -> str:
        """The key of the partition that contains ``start``."""
        return self.key_of(self.start)

    @property
    def first_start(self) -> datetime:
        """The start of the partition that contains ``start``, in local time."""
        return self._floor(self.start.astimezone(self.zone))

    @property
    def last_end(self) -> datetime | None:
        """The end, in UTC, of the partition that contains the last moment before ``end``."""
        return self.window(self.key_of(self.end - timedelta(microseconds=1))).end if self.end else None

    def key_of(self, moment: datetime) -> str:
        """The key of the partition that contains a moment (timezone-aware, any zone)."""
        return self._floor(moment.astimezone(self.zone)).strftime(self.key_format)

    def window(self, key: str) -> Window:
        """The window of one partition. Raises ValueError where ``key`` is not of ``key_format``."""
        start = datetime.strptime(key, self.key_format).replace(tzinfo=self.zone)
        return Window(start.astimezone(UTC), self._next(start).astimezone(UTC))

    def window_of(self, run: Sequence[str]) -> Window:
        """The window of adjacent partitions together; ``run`` is sorted, without gaps and not empty."""
        return Window(self.window(run[0]).start, self.window(run[-1]).end)

    def keys_between(self, first: str, last: str) -> list[str]:
        """All keys from ``first`` to ``last``, both included, in order."""
        keys = []
        key = first
        while key <= last:
            keys.append(key)
            key = self.key_of(self.window(key).end)
        return keys

    def torn_midnight(self, before: date) -> date | None:
        """The first day from ``start`` on that does not begin where the day before it ends; None for none.

        That is so where the clocks skipped or repeated a midnight together with minutes of the evening before:
        those of St. John's went from 0:01 back to 23:01 until 2010. The time between two such
        midnights is not one date, so no daily partition can be made of it.

        Args:
            before: days are looked at up to this one, exclusive.
        """
        day = self.first_start
        while day.date() < before:
            if _is_skipped_or_repeated(day) and _is_skipped_or_repeated(day - timedelta(microseconds=1)):
                return day.date()
            day += timedelta(days=1)
        return None

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


def newest_partition(calendar: Calendar) -> str:
    """The partition of the current time, be it before the first one; the last one of a stream that has ended."""
    now = datetime.now(UTC)
    return calendar.key_of(now if calendar.end is None else min(now, calendar.end - timedelta(microseconds=1)))


def midnight(day: date, timezone: str) -> datetime:
    """The local midnight at which a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))


def _is_skipped_or_repeated(local: datetime) -> bool:
    """Whether the clocks leave a local time out or show it twice (PEP 495)."""
    return local.astimezone(UTC) != local.replace(fold=1).astimezone(UTC)


def label(keys: Sequence[str]) -> str:
    """A short name of one or more partitions: the only key, or the first and the last."""
    return keys[0] if len(keys) == 1 else f"{min(keys)}...{max(keys)}"


def contiguous_runs(keys: list[str], calendar: Calendar) -> list[list[str]]:
    """Divide partition keys, in any order and without duplicates, into sorted runs of adjacent partitions."""
    runs: list[list[str]] = []
    for key in sorted(keys):
        if runs and calendar.key_of(calendar.window(runs[-1][-1]).end) == key:
            runs[-1].append(key)
        else:
            runs.append([key])
    return runs
