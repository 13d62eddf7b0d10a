"""How new the newest event is that was read from a stream's source, and what is wrong where it is too old.

Not here: when new records are read (`orchestration/sensors.py`), and the check that shows this
(`orchestration/sources.py`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sessions_platform.contracts.server_source import ServerSource
from sessions_platform.contracts.values import spelled
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.sources.errors import SourceUnavailableError

_MOST_COUNTED = 1_000_000
_NOT_COUNTED = "the source counts them once newer ones were read"


@dataclass(frozen=True)
class Freshness:
    """What was read of a source.

    Attributes:
        newest_event: the latest time of an accepted event; None where there is none.
        last_read: when records were read last; None where none were.
        unread: how many records were not read, a million at most; None of a source that doesn't say it.
        delay: for how long the oldest of them has waited, zero if all were read; None of a source that doesn't say it.
        unknown: why neither is known; empty where one is, and of files.
        problem: a sentence with the fix; empty where nothing is wrong.
    """

    newest_event: datetime | None
    last_read: datetime | None
    unread: int | None
    delay: timedelta | None = None
    problem: str = ""
    unknown: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """What is known of it, by name."""
        times = {"newest_event": self.newest_event, "last_read": self.last_read}
        known = {name: time.isoformat() for name, time in times.items() if time is not None}
        waited = None if self.delay is None else round(self.delay.total_seconds())
        asked = {"unread_records": self.unread, "unread_for_seconds": waited}
        unknown = {"unread": f"not known: {self.unknown}"} if self.unknown else {}
        return {**known, **{name: said for name, said in asked.items() if said is not None}, **unknown}


def freshness(context: StreamContext, now: datetime | None = None) -> Freshness:
    """How new the newest event of a stream is, against `source.fresh_within`; its source is asked what is unread."""
    context.prepare()
    newest = max((each.last_event for each in context.ledger.landings() if each.last_event), default=None)
    last_read = context.ledger.last_read()
    try:
        unread, delay = context.unread(_MOST_COUNTED), context.delay()
    except (UserError, SourceUnavailableError) as failed:
        return Freshness(newest, last_read, None, problem=f"the source can't be asked: {failed}")
    cause, source = _cause(context.stream.name, unread, delay), context.stream.source
    problem = _problem(context, newest, cause, now or datetime.now(UTC))
    is_unknown = unread is None and delay is None
    unknown = (source.no_count or _NOT_COUNTED) if is_unknown and isinstance(source, ServerSource) else ""
    return Freshness(newest, last_read, unread, delay, problem, unknown)


def _problem(context: StreamContext, newest: datetime | None, cause: str, now: datetime) -> str:
    within = context.stream.source.fresh_within
    if within is None or (newest is not None and now - newest <= within):
        return ""
    age = "no event was read yet" if newest is None else f"the newest event is of {newest:%Y-%m-%d %H:%M} UTC"
    old = "" if newest is None else f", {_rounded(now - newest)} ago"
    return f"{age}{old}, and source.fresh_within is {spelled(within)}; {cause}"


def _cause(stream: str, unread: int | None, delay: timedelta | None) -> str:
    fix = "see whether the sensor of the source is on, and which runs failed"
    if unread:
        return f"{unread} records of the source were not read. Fix: {fix}."
    if delay:
        return f"records of the source have waited for {_rounded(delay)} to be read. Fix: {fix}."
    if unread == 0 or delay is not None:
        return "all records of the source were read. Fix: see why it has no newer ones, and which rows were rejected."
    return f"whether the source has newer ones is not known. Fix: run `sessions-platform run {stream}`, and look there."


def _rounded(age: timedelta) -> str:
    """In whole minutes, hours or days: at least two of them."""
    units = (("days", timedelta(days=1)), ("hours", timedelta(hours=1)), ("minutes", timedelta(minutes=1)))
    return next((f"{age // unit} {name}" for name, unit in units if age >= 2 * unit), f"{age.seconds} seconds")
