"""The `source` key of a stream whose events are asked of an HTTP API, page by page.

Not here: how pages are asked for and taken apart (`sources.http`).
"""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from sessions_platform.contracts.model import Model
from sessions_platform.contracts.secrets import Secret, TextOrSecret
from sessions_platform.contracts.server_source import ServerSource
from sessions_platform.contracts.values import Lag, PositiveDuration, Size, invalid, shown


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid(f"{shown(url)} is no URL", "write it whole, as in https://api.example.com/v1/events")
    if parts.username or parts.password:
        raise invalid("a URL must not contain a user or password", "state auth: {basic: {user: …, password: …}}")
    if parts.query or parts.fragment:
        raise invalid("it has a query", "write its parameters in params")
    return url


HttpUrl = Annotated[str, AfterValidator(_http_url)]


class Basic(Model):
    """A user and a password."""

    user: TextOrSecret
    password: Secret


class Named(Model):
    """A header, or a parameter, that has a secret."""

    name: str = Field(min_length=1)
    value: Secret


class ClientCredentials(Model):
    """OAuth 2.0, client credentials (RFC 6749, 4.4): a token is fetched, and a new one before it expires."""

    token_url: HttpUrl
    client_id: TextOrSecret
    client_secret: Secret
    scope: str | None = None


class Auth(Model):
    """How the API knows who asks: one of these."""

    bearer: Secret | None = Field(None, description="A token, sent as Authorization: Bearer.")
    header: Named | None = Field(None, description="A header of another name.")
    param: Named | None = Field(None, description="A parameter of the URL.")
    basic: Basic | None = None
    oauth2: ClientCredentials | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(value is not None for value in self.__dict__.values()) != 1:
            raise invalid("it needs one way", "write bearer, header, param, basic or oauth2: {bearer: {env: TOKEN}}")
        return self


class Pages(Model):
    """How the next page is asked for: one of these."""

    link: Literal[True] | None = Field(None, description="By the header Link, rel=next (RFC 8288).")
    next_url: str | None = Field(None, description="By the URL that this field of a page has.")
    cursor: str | None = Field(None, description="By the value that this field of a page has, sent as `param`.")
    offset: str | None = Field(None, description="By this parameter: how many records came before.")
    number: str | None = Field(None, description="By this parameter: the number of the page.")
    param: str | None = Field(None, description="With cursor: the parameter that it is sent as.")
    first: int | None = Field(None, description="With offset or number: its first value; 0 and 1 by default.")
    resume: bool = Field(
        False, description="With cursor: whether later runs go on from the last one, as in a log of events."
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        ways = [self.link, self.next_url, self.cursor, self.offset, self.number]
        if sum(way is not None for way in ways) != 1:
            raise invalid("it needs one way", "write link, next_url, cursor, offset or number, as in {number: page}")
        if (self.cursor is None) != (self.param is None):
            raise invalid("cursor and param belong together", "name the field and the parameter, or neither")
        if self.first is not None and self.offset is None and self.number is None:
            raise invalid("first belongs to offset or number", "remove it")
        if self.resume and self.cursor is None:
            raise invalid("resume belongs to cursor", "remove it")
        return self


class Since(Model):
    """How only newer records are asked for: a parameter, and the field of the records that it is compared with."""

    param: str
    field: str = Field(description="A field of each record, whose greatest value is sent next time.")
    lag: Lag = Field(
        timedelta(0),
        description="How far before it records are asked for again, for those that appeared late: a duration, or a "
        "number where the field is one.",
        json_schema_extra={"default": "0s"},
    )
    until: str | None = Field(
        None, description="The parameter that ends a time, for backfills; without it there is none."
    )
    format: str = Field(
        "%Y-%m-%dT%H:%M:%SZ", description="How a backfill spells a time in UTC for `param` and `until` (strftime)."
    )
    start: str | int | None = Field(None, description="The first value; without it all records are asked for.")


class HttpSource(ServerSource):
    """Records of a JSON API, page by page, each as its own bytes."""

    implementation: ClassVar[str] = "sessions_platform.sources.http.source:HttpApi.open"

    type: Literal["http"] = Field(description="The pages of an HTTP API.")
    url: HttpUrl = Field(description="Of the first page, without parameters.")
    params: dict[str, str | int] = Field(default_factory=dict, description="Parameters of each request.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers of each request; secrets go to auth.")
    auth: Auth | None = None
    records: str = Field("", description="Where a page has its records, as in data.items; empty for a bare array.")
    total: str | None = Field(
        None,
        min_length=1,
        description="Where a page says how many records its request has on all pages, as in meta.total: then it is "
        "known how many have not been read. With since its parameter has to include the value that is sent.",
    )
    pages: Pages | None = Field(None, description="How the next page is asked for; without it there is one.")
    since: Since | None = Field(
        None, description="How newer records are asked for; without it all are, once in each landing partition."
    )
    hosts: list[str] = Field(
        default_factory=list, description="Further hosts that links to next pages may lead to; no secret is sent there."
    )
    requests_per_second: float | None = Field(None, gt=0)
    max_page: Size = Field(64 * 10**6, description="How long a page may be.", json_schema_extra={"default": "64MB"})
    give_up_after: PositiveDuration = Field(
        timedelta(minutes=5),
        description="For how long a request is tried, and how long the server may ask to wait.",
        json_schema_extra={"default": "5m"},
    )

    @model_validator(mode="after")
    def _total_is_of_a_request(self) -> Self:
        if self.total is not None and self.pages is not None and self.pages.resume:
            raise invalid("what a total counts after a cursor is not known", "remove total, or pages.resume")
        return self

    @property
    def counts_unread(self) -> bool:
        """Whether a page says how many records there are."""
        return self.total is not None

    @property
    def no_count(self) -> str:
        """Why it is not known how many records have not been read; empty where it is."""
        return "" if self.counts_unread else "source.total names no field in which a page says how many there are"

    @property
    def says_times(self) -> bool:
        """Whether a field of each record is one."""
        return self.since is not None and isinstance(self.since.lag, timedelta)

    @property
    def about(self) -> dict[str, str]:
        """Its host and URL."""
        return {"host": urlsplit(self.url).netloc, "url": self.url}

    @property
    def place(self) -> str:
        """Where it is, for people; without secrets."""
        return self.url
