"""An HTTP API as a source: each page is a slice, whose cursor is where reading stands after it.

Pages are known only once they were asked for, so `search` asks for them, and keeps them until they are read: a few
megabytes in each round. The configuration is `contracts.http_source.HttpSource`.
"""

import ssl
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cached_property

import httpx

from sessions_platform.contracts.calendar import newest_partition
from sessions_platform.contracts.http_source import HttpSource, Since
from sessions_platform.contracts.stream import Stream
from sessions_platform.settings import Settings
from sessions_platform.sources.base import NO_CURSORS, Cursor, Cursors, Found, Past, Quarantine, Skipped, Slice
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.http.client import Client
from sessions_platform.sources.http.sweep import State, Step, Sweep
from sessions_platform.sources.messages import Block, MessageReading, Times, times_in, value_in
from sessions_platform.sources.server import ServerRecords

ROUND_BYTES = 8_000_000


class HttpApi(ServerRecords):
    """The records of one API."""

    def __init__(self, stream: Stream) -> None:
        assert isinstance(stream.source, HttpSource)
        self._source, self._calendar = stream.source, stream.landing_calendar
        self._kept: dict[str, list[bytes]] = {}
        self._has_more = False

    @classmethod
    def open(cls, stream: Stream, settings: Settings) -> "HttpApi":  # noqa: ARG003
        """The implementation that `contracts.http_source.HttpSource` names."""
        return cls(stream)

    def search(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> Found:
        """The next pages, some megabytes of them, and doubts whether the last one is the API's last."""
        name = f"{self._source.url}{self._way}"
        state = State.of(cursors.get(name))
        current = max(landing_partitions) if landing_partitions is not None else newest_partition(self._calendar)
        if state.done == current:
            self._kept, self._has_more = {}, False
            return Found(())
        return self._pages(name, state, current, None)

    def unread(self, cursors: Cursors, most: int) -> int | None:
        """How many records were not read, if `source.total` says where a page has that; one page is asked for."""
        state = State.of(cursors.get(f"{self._source.url}{self._way}"))
        with closing(self._client()) as client:
            count = Sweep(self._source, client).unread(state, newest_partition(self._calendar))
        return None if count is None else min(count, most)

    def search_past(self, past: Past, cursors: Cursors) -> Found:
        """The next pages of what the API has of that time, where that is other than it was when it was asked last."""
        name = f"{self._source.url}{self._way}@{past.name}"
        return self._pages(name, State.of(cursors.get(name)), past.name, past)

    def _pages(self, name: str, state: State, current: str, past: Past | None) -> Found:
        self._kept, self._has_more = {}, False
        with closing(self._client()) as client:
            steps, last = _round(
                Sweep(self._source, client, past).steps(state, current), is_compared=_is_compared(state)
            )
        is_idle = _is_compared(state) and last.is_last and last.seen == state.idle
        if is_idle or (state.page == 0 and not any(step.page.records for step in steps)):
            return Found(())
        self._has_more = not steps[-1].is_last
        slices: list[Slice] = []
        of_past = f"past={past.name}&" if past else ""
        for number, step in enumerate(steps, start=state.page):
            # Numbers of one length: which of two records of one id is the first depends on the order of uris.
            uri = f"{self._source.url}#{of_past}sweep={state.sweep:08}&page={number:08}"
            self._kept[uri] = step.page.records
            slices.append(Slice(uri, "fixed", None, Cursor(name, step.after.position)))
        return Found(slices, [Skipped(self._source.url, step.doubt) for step in steps if step.doubt])

    def has_more(self) -> bool:
        """Whether the last `search` has left pages for the next one."""
        return self._has_more

    def read(self, slice_: Slice, quarantine: Quarantine) -> "PageReading":  # noqa: ARG002
        """A reading of a page that the last `search` has returned."""
        if slice_.uri not in self._kept:
            raise SourceUnavailableError(f"{slice_.uri} is kept no longer. Fix: run again.")
        return PageReading(self._kept[slice_.uri], self._source.since)

    def _client(self) -> Client:
        return Client(self._source, tls=self._tls)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()

    @property
    def _way(self) -> str:
        """What tells the cursors of one API apart that mean different things."""
        if self._source.since:
            return f"?{self._source.since.param}"
        return f"?{self._source.pages.param}" if self._source.pages and self._source.pages.resume else ""


def _is_compared(state: State) -> bool:
    return state.page == 0 and state.idle is not None


def _round(sweep: Iterator[Step], *, is_compared: bool) -> tuple[list[Step], Step]:
    """The steps of one round, and the last one that was taken.

    A sweep that is compared with what an earlier one saw is taken to its end, but no more of it is kept.
    """
    kept, last, size = [first := next(sweep)], first, sum(map(len, first.page.records))
    while not last.is_last and (size < ROUND_BYTES or is_compared):
        last = next(sweep)
        if size < ROUND_BYTES:
            kept.append(last)
            size += sum(map(len, last.page.records))
    return kept, last


class PageReading(MessageReading):
    """One pass over the records of a page."""

    def __init__(self, records: list[bytes], since: Since | None) -> None:
        super().__init__()
        self._records, self._since = records, since

    def blocks(self) -> Iterator[Block]:
        """All records at once."""
        if self._records:
            yield Block(self._records, self._times)

    def _times(self) -> Times:
        field = self._since.field if self._since else ""
        times = times_in(self._records, keys := field.split("."))
        if not any(times) and any(isinstance(value_in(record, keys), int | float) for record in self._records):
            fix = "remove landing.by, or let since.field have times in ISO 8601"
            raise SourceRefusedError(f"{field} has numbers, of which nobody says which time they are. Fix: {fix}.")
        return times
