"""A page of an API: its records as the bytes they came in, and where it says the next page is."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urljoin

import msgspec

from sessions_platform.contracts.http_source import HttpSource
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.http.client import Answer
from sessions_platform.sources.messages import digest_of

# Of a total as text; Python refuses to take thousands of digits for a number.
_MOST_DIGITS = 18
_EMPTY = (b"null", b'""', b"false")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True)
class Token:
    """What the next page is asked for with: a URL of its own, or the value of a parameter."""

    url: str | None = None
    value: str | int | None = None


@dataclass(frozen=True)
class Page:
    """A page that was taken apart. `said_next` is what it says itself of the next one, if it does."""

    records: list[bytes]
    said_next: Token | None

    @cached_property
    def digest(self) -> str:
        """Of its records; equal ones have one digest."""
        return digest_of(self.records)


def page_of(source: HttpSource, answer: Answer, url: str) -> Page:
    """Take a page apart.

    Raises:
        SourceRefusedError: it is no JSON, or has no records where the stream says they are.
    """
    place = url.partition("?")[0]
    try:
        records = _records(source, msgspec.Raw(answer.body), place)
        return Page(records, _said_next(source, answer, url))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        beginning = answer.body[:40].decode(errors="replace").strip()
        raise SourceRefusedError(
            f"{place}: a page is not the JSON that source.records says: {error}; it begins with {beginning!r}. Fix: "
            "correct source.url and source.records."
        ) from None


def total_in(source: HttpSource, answer: Answer) -> int:
    """How many records a request has on all pages, by its page. Raises SourceRefusedError where it says no number."""
    assert source.total
    try:
        said = _field(answer.body, source.total)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = None
    number = int(said) if isinstance(said, str) and said.isdecimal() and len(said) <= _MOST_DIGITS else said
    if isinstance(number, int) and not isinstance(number, bool) and number >= 0:
        return number
    raise SourceRefusedError(
        f"{source.url}: a page has no number of records in {source.total!r}. Fix: correct source.total, or remove it."
    )


def _records(source: HttpSource, value: msgspec.Raw, place: str) -> list[bytes]:
    for key in filter(None, source.records.split(".")):
        fields = _object.decode(value)
        if key not in fields:
            names = ", ".join(fields) or "nothing"
            raise SourceRefusedError(f"{place}: a page has no {key!r}; it has {names}. Fix: correct source.records.")
        value = fields[key]
    return [] if bytes(value) == b"null" else [bytes(record) for record in _array.decode(value)]


def _said_next(source: HttpSource, answer: Answer, url: str) -> Token | None:
    pages = source.pages
    if pages is None:
        return None
    if pages.link:
        return Token(url=answer.next_link) if answer.next_link else None
    if pages.next_url:
        found = _field(answer.body, pages.next_url)
        return Token(url=urljoin(url, str(found))) if found else None
    if pages.cursor:
        found = _field(answer.body, pages.cursor)
        return Token(value=found) if isinstance(found, str | int) and found not in ("", False) else None
    return None


def _field(body: bytes, path: str) -> Any:
    """A field of the page; None where there is none."""
    value = msgspec.Raw(body)
    for key in path.split("."):
        if bytes(value) in _EMPTY:
            return None
        value = _object.decode(value).get(key, msgspec.Raw(b"null"))
    return msgspec.json.decode(value)
