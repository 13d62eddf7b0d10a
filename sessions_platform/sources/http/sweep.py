"""How far an API was read: a sweep is one pass over its pages, from newer records than the last sweep's, or from all.

Where a sweep stands is stored with each page, so that a run that is killed goes on there. A sweep that finds nothing
newer keeps the digest of what it saw; as long as the next ones see the same, there is nothing to read. Not here:
requests (`client`), and how pages become slices (`source`).
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sessions_platform.contracts.http_source import HttpSource, Since
from sessions_platform.sources.base import Past
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.http.client import Client
from sessions_platform.sources.http.page import Page, Token, page_of, total_in
from sessions_platform.sources.messages import value_in

_MOST_EMPTY = 1000

Moment = str | int | float


@dataclass(frozen=True)
class State:
    """Where reading stands, as it is stored.

    Attributes:
        sweep: how many sweeps were begun before.
        page: how many pages of this sweep were read.
        token: what the next page is asked for with; None for the first.
        since: the greatest value of `since.field` that earlier sweeps saw.
        newest: the greatest one by now.
        seen: digest of all pages of this sweep by now.
        idle: what `seen` was at the end of a sweep that found nothing newer.
        before: digest of the page before, for a server that repeats a page.
        done: the landing partition in which a source without `since` was read last.
        records: how many records of this sweep were read.
        ties: how many of those of this sweep, or at its beginning of the last one, have the greatest value by now.

    Both counts are None at the beginning, and where reading was under way before they were kept.
    """

    sweep: int = 0
    page: int = 0
    token: Token | None = None
    since: Moment | None = None
    newest: Moment | None = None
    seen: str = ""
    idle: str | None = None
    before: str | None = None
    done: str | None = None
    records: int | None = None
    ties: int | None = None

    @classmethod
    def of(cls, position: Mapping[str, Any] | None) -> "State":
        """From a cursor's position."""
        if position is None:
            return cls()
        token = position["token"]
        return cls(**{**position, "token": Token(**token) if token else None})

    @property
    def position(self) -> dict[str, Any]:
        """As a cursor has it."""
        return asdict(self)


@dataclass(frozen=True)
class Step:
    """A page, where reading stands after it, and a doubt about it, if any; `seen` is as `State` has it."""

    page: Page
    after: State
    is_last: bool
    seen: str
    doubt: str | None = None


class Sweep:
    """Reads pages on from where reading stands; of a time that is past, those that the API has of it."""

    def __init__(self, source: HttpSource, client: Client, past: Past | None = None) -> None:
        self._source, self._client, self._past = source, client, past

    def steps(self, state: State, partition: str) -> Iterator[Step]:
        """The pages up to the end of the sweep. `partition` is the landing partition that is current."""
        asked: set[Token] = set()
        empty = 0
        while True:
            url, params = self.request(state)
            page = page_of(self._source, self._client.page(url, params), url)
            asked |= {state.token} if state.token else set()
            step = self._step(state, page, asked, partition)
            empty = 0 if page.records else empty + 1
            if empty > _MOST_EMPTY:
                raise SourceRefusedError(
                    f"{self._source.url}: {empty} pages in a row had no records. Fix: see how the API ends its pages."
                )
            yield step
            if step.is_last:
                return
            state = step.after

    def unread(self, state: State, partition: str) -> int | None:
        """How many records were not read, by the total that a page says; None where that or the read ones are unknown.

        Those of `since.lag` are not counted, which are mostly read ones that come again. It asks for one page.
        """
        source = self._source
        if source.total is None:
            return None
        if state.done == partition:
            return 0
        read = _read(source, state)
        if read is None:
            return None
        if source.since and state.page == 0:
            without_lag = source.since.model_copy(update={"lag": timedelta(0)})
            source = source.model_copy(update={"since": without_lag})
        url, params = Sweep(source, self._client).request(replace(state, token=None))
        answer = self._client.page(url, params)
        total = total_in(source, answer)
        if source.since and state.page == 0:
            records = page_of(source, answer, url).records
            # An API may leave out the value that is asked for, which only a page that has all records shows.
            read = min(read, _ties(source.since, state.since, records)) if len(records) >= total else read
        return max(0, total - read)

    def request(self, state: State) -> tuple[str, dict[str, str | int]]:
        """The URL and the parameters by which the next page is asked for."""
        source, pages, token = self._source, self._source.pages, state.token
        if token is not None and token.url is not None:
            return token.url, {}
        params = dict(source.params)
        params |= self._asked_time(state)
        if pages and (name := pages.offset or pages.number):
            first = pages.first if pages.first is not None else (0 if pages.offset else 1)
            params[name] = token.value if token and token.value is not None else first
        elif pages and pages.param and token and token.value is not None:
            params[pages.param] = token.value
        return source.url, params

    def _asked_time(self, state: State) -> dict[str, str | int]:
        """The parameters by which newer records are asked for, or those of a time."""
        since, past = self._source.since, self._past
        if since is None:
            return {}
        if past is not None:
            end = {since.until: past.end.strftime(since.format)} if since.until else {}
            return {since.param: past.start.strftime(since.format), **end}
        newest = _asked_since(since, state.since)
        return {} if newest is None else {since.param: newest}

    def _step(self, state: State, page: Page, asked: set[Token], partition: str) -> Step:
        newest = _greatest(self._source.since, state.newest, page.records)
        seen = _chained(state.seen, page.digest)
        following, doubt = self._following(state, page, asked)
        if doubt and page.digest == state.before:
            page = Page([], None)
        state = self._counted(state, page, newest)
        if following is None:
            return Step(page, self._ended(state, newest, seen, page, partition), is_last=True, seen=seen, doubt=doubt)
        after = replace(state, page=state.page + 1, token=following, newest=newest, seen=seen, before=page.digest)
        return Step(page, after, is_last=False, seen=seen)

    def _counted(self, state: State, page: Page, newest: Moment | None) -> State:
        """With the records of a page, and how many have the greatest value; a sweep counts from its beginning."""
        read = 0 if state.page == 0 else state.records
        before = 0 if state.page == 0 or newest != state.newest else state.ties
        return replace(
            state,
            records=None if read is None else read + len(page.records),
            ties=None if before is None else before + _ties(self._source.since, newest, page.records),
        )

    def _following(self, state: State, page: Page, asked: set[Token]) -> tuple[Token | None, str | None]:
        """What the next page is asked for with, None after the last one; and a doubt whether it is the last."""
        pages = self._source.pages
        if pages and (name := pages.offset or pages.number):
            if not page.records:
                return None, None
            if page.digest == state.before:
                return None, f"page {state.page + 1} has the records of the one before: the server ignores {name}"
            first = pages.first if pages.first is not None else (0 if pages.offset else 1)
            at = state.token.value if state.token else first
            assert isinstance(at, int)
            # By what came and not by what was asked for: a server may give less.
            return Token(value=at + (len(page.records) if pages.offset else 1)), None
        if page.said_next is not None and page.said_next in asked:
            return None, f"page {state.page + 1} names a page as the next one that was read before"
        return page.said_next, None

    def _ended(self, state: State, newest: Moment | None, seen: str, page: Page, partition: str) -> State:
        begun = State(sweep=state.sweep + 1)
        if self._past:
            return replace(begun, idle=seen)
        if self._source.since:
            idle = seen if newest == state.since else None
            return replace(begun, since=newest, newest=newest, idle=idle, ties=state.ties)
        if self._source.pages and self._source.pages.resume:
            return replace(begun, token=state.token, idle=_chained("", page.digest))
        return replace(begun, done=partition)


def _chained(seen: str, digest: str) -> str:
    return hashlib.sha256(f"{seen}{digest}".encode()).hexdigest()


def _read(source: HttpSource, state: State) -> int | None:
    """How many of a request's records were read: of the sweep, or before it those of the value that it asks for."""
    if state.page:
        return state.records
    return state.ties if source.since and state.since is not None else 0


def _greatest(since: Since | None, so_far: Moment | None, records: list[bytes]) -> Moment | None:
    """The greatest value of the field of these records, and the one so far, which stays where they are equal."""
    if since is None:
        return None
    found = _values(since, records)
    if so_far is not None:
        found.insert(0, so_far)
    if not found:
        return None
    compared = _comparable(since, found)
    return found[compared.index(max(compared))]


def _ties(since: Since | None, value: Moment | None, records: list[bytes]) -> int:
    """How many of these records have a value of the field, however it is spelled."""
    if since is None or value is None:
        return 0
    first, *others = _comparable(since, [value, *_values(since, records)])
    return others.count(first)


def _comparable(since: Since, values: list[Moment]) -> list[Any]:
    """Texts as the moments that they spell, numbers as they are."""
    if all(isinstance(value, str) for value in values):
        return [_as_moment(since, value) for value in values]
    if all(not isinstance(value, str) for value in values):
        return values
    raise SourceRefusedError(f"source.since.field: {since.field} is a number in some records and a text in others")


def _values(since: Since, records: list[bytes]) -> list[Moment]:
    return [value for record in records if (value := _value(record, since.field)) is not None]


def _value(record: bytes, path: str) -> Moment | None:
    value = value_in(record, path.split("."))
    return value if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _as_moment(since: Since, text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SourceRefusedError(
            f"source.since.field: {since.field} is {text!r}, no number and no ISO 8601 time. Fix: name another."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _asked_since(since: Since, newest: Moment | None) -> str | int | None:
    """The value to ask for: the lag before the greatest one that was seen, spelled as the API spells it."""
    if newest is None:
        return since.start
    if isinstance(newest, str):
        if not isinstance(since.lag, timedelta):
            raise SourceRefusedError("source.since.lag: the field is a time. Fix: write a duration, as in 15m.")
        if not since.lag:
            return newest
        earlier = (_as_moment(since, newest) - since.lag).isoformat()
        return earlier.removesuffix("+00:00") + "Z" if newest.endswith("Z") else earlier
    if isinstance(since.lag, timedelta):
        if since.lag:
            raise SourceRefusedError("source.since.lag: the field is a number. Fix: write a whole number.")
        return _spelled(newest)
    return _spelled(newest - since.lag)


def _spelled(number: Any) -> str | int:
    return number if isinstance(number, int) else repr(number)
