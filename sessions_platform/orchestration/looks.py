"""When the sensor `new_records` asks a server for new records, which may cost that server a scan, or whole pages.

A look is due `poll.every` after the last one, or sooner where the source says that as many records are unread as
`poll.unread`; never while a run reads the source, so that no run is started for what another one is about to read.
After looks that failed the next one waits as long as after failed runs. The sensor's cursor keeps when it last looked.
Not here: the sensor itself (`sensors.py`), and what a look finds (`sources`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sessions_platform.contracts.server_source import Poll, ServerSource
from sessions_platform.contracts.values import spelled
from sessions_platform.errors import UserError
from sessions_platform.operations.skipped import skipped_sentence
from sessions_platform.orchestration.jobs import landing_ranges
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.sources.base import Found
from sessions_platform.sources.errors import SourceUnavailableError

_FIRST_BACK_OFF, _LONGEST_BACK_OFF = timedelta(minutes=1), timedelta(minutes=30)
_NOT_ASKED = Found(())


class Pending(NamedTuple):
    """Ranges of partitions that need a run, and what is to be said if none is requested.

    `said` is a sentence on files that were skipped, or on why a source was not asked. `cursor` is what the sensor
    keeps; `unread` how many records of a server were not read, where that was asked.
    """

    ranges: list[tuple[str, str]]
    said: str = ""
    cursor: str | None = None
    unread: int | None = None


@dataclass(frozen=True)
class Looked:
    """When the source was last asked (ISO 8601; None for never), and how many times in a row it failed to answer."""

    at: str | None = None
    failures: int = 0

    @classmethod
    def of(cls, cursor: str | None) -> "Looked":
        """What a sensor's cursor says; one of another form says nothing."""
        try:
            return cls(**json.loads(cursor or "{}"))
        except (ValueError, TypeError):
            return cls()

    @property
    def cursor(self) -> str:
        """As the sensor keeps it."""
        return json.dumps(asdict(self))

    def is_over(self, wait: timedelta, now: datetime) -> bool:
        """Whether the wait since it has passed; a clock that was set back counts as that."""
        return self.at is None or not timedelta(0) <= now - datetime.fromisoformat(self.at) < wait


def back_off(failures: int) -> timedelta:
    """How long to wait after this many failures in a row: 1, 2, 4, 8, 16 minutes, then 30."""
    return min(_FIRST_BACK_OFF * 2 ** min(failures - 1, 5), _LONGEST_BACK_OFF)


def pending_records(
    context: StreamContext, failed: Sequence[str], cursor: str | None, *, is_read: bool, now: datetime | None = None
) -> Pending:
    """The landing partitions that need a run: the current one if a look finds new records, and those of the ledger.

    Args:
        context: of a stream whose source is a server.
        failed: partitions that are to be run although nothing of them is pending.
        cursor: of the sensor.
        is_read: whether a run is reading the source, which is not asked then.
        now: the time to compare with the last look; by default the current time.
    """
    context.prepare()
    assert isinstance(context.stream.source, ServerSource)
    looked, now = Looked.of(cursor), now or datetime.now(UTC)
    if is_read:
        return Pending(landing_ranges(context, _NOT_ASKED, failed), "a run is under way", looked.cursor)
    try:
        unread = _unread(context, context.stream.source.poll, looked, now)
        if not _is_due(context.stream.source.poll, looked, unread, now):
            said = f"it looks again {spelled(_wait(context.stream.source.poll, looked))} after {looked.at}"
            return Pending(landing_ranges(context, _NOT_ASKED, failed), said, looked.cursor, unread)
        found = context.found()
    except (UserError, SourceUnavailableError) as refused:
        looked = Looked(now.isoformat(), looked.failures + 1)
        return Pending(landing_ranges(context, _NOT_ASKED, failed), str(refused), looked.cursor)
    ranges = landing_ranges(context, found, failed)
    return Pending(ranges, skipped_sentence(found, context.stream.source.noun), Looked(now.isoformat()).cursor, unread)


def _unread(context: StreamContext, poll: Poll, looked: Looked, now: datetime) -> int | None:
    """How many records were not read, up to as many as start a run, where that matters."""
    if poll.unread is None or (looked.failures and not looked.is_over(back_off(looked.failures), now)):
        return None
    return context.unread(poll.unread)


def _is_due(poll: Poll, looked: Looked, unread: int | None, now: datetime) -> bool:
    if unread is not None and poll.unread is not None and unread >= poll.unread:
        return True
    return looked.is_over(_wait(poll, looked), now)


def _wait(poll: Poll, looked: Looked) -> timedelta:
    return max(poll.every, back_off(looked.failures)) if looked.failures else poll.every
