"""Requests to an API: only to the hosts that the stream names, at most so many a second, again where that may help.

Redirects are not followed: one may lead to another host, with the secret. Not here: who asks (`auth`), and what a page
contains (`page`).
"""

import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import httpx

from sessions_platform.contracts.http_source import HttpSource
from sessions_platform.contracts.values import spelled
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.http.auth import auth_of
from sessions_platform.sources.patience import patiently

_MAY_PASS = (408, 425, 429, 500, 502, 503, 504)
_SILENT_FOR = 60.0  # seconds
_FIXES = {
    401: "correct {0.auth}, or the environment variable that it names",
    403: "give the API's user the right to read this",
    404: "correct {0.url}",
}


@dataclass(frozen=True)
class Answer:
    """A page as it came: its bytes, and the URL that the header Link calls next, if any."""

    body: bytes
    next_link: str | None


class Keys(NamedTuple):
    """The keys of a stream's file that messages name: of who asks, of the address, and of all that is asked with."""

    auth: str = "source.auth"
    url: str = "source.url"
    request: str = "source.url, source.params and source.headers"


_OF_API = Keys()


class AbsentError(SourceRefusedError):
    """The server says that there is nothing at a URL; `body` is what it says of that."""

    def __init__(self, message: str, body: bytes) -> None:
        super().__init__(message)
        self.body = body


class _TryAgainError(Exception):
    """A request failed in a way that may pass; the server may have said after how long."""

    def __init__(self, reason: str, after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.after = after


class Client:
    """Asks one API, over connections that are kept. Close it. Messages name the stream's `keys`.

    Args:
        source: the API.
        keys: of the stream's file.
        tls: by which servers are checked; made anew where there is none, which takes 20 ms.

    Raises:
        UserError: an environment variable with a secret is not set.
    """

    def __init__(self, source: HttpSource, keys: Keys = _OF_API, tls: ssl.SSLContext | None = None) -> None:
        self._source, self._keys = source, keys
        self._auth = auth_of(source.auth, keys.auth)
        timeout = httpx.Timeout(_SILENT_FOR, connect=10.0)
        self._client = httpx.Client(timeout=timeout, headers=source.headers, verify=tls or True)
        self._own = urlsplit(source.url)
        self._not_before = 0.0

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def page(self, url: str, params: dict[str, str | int]) -> Answer:
        """A page.

        Args:
            url: whole; of the stream's own host, or of one of `source.hosts`.
            params: added to those that the URL has.

        Raises:
            SourceRefusedError: the server refuses it, or has not answered for as long as the stream says.
        """
        self._require_host(url)
        try:
            return patiently(lambda: self._asked(url, params), self._waiting, self._source.give_up_after)
        except _TryAgainError as failed:
            raise self._given_up(url, failed) from None

    def _waiting(self, error: Exception) -> bool | timedelta:
        """Whether to try again, and after how long where the server said so."""
        if not isinstance(error, _TryAgainError):
            return False
        if error.after is None:
            return True
        return error.after if error.after <= self._source.give_up_after else False

    def _asked(self, url: str, params: dict[str, str | int]) -> Answer:
        self._keep_the_rate()
        try:
            with self._client.stream("GET", url, params=params or None, auth=self._auth_for(url)) as answer:
                self._require_success(answer, url)
                return Answer(self._body(answer, url), _next_link(answer))
        except httpx.TransportError as error:
            raise _TryAgainError(str(error) or type(error).__name__) from None

    def _auth_for(self, url: str) -> httpx.Auth | None:
        return self._auth if urlsplit(url).netloc == self._own.netloc else None

    def _require_host(self, url: str) -> None:
        parts = urlsplit(url)
        is_named = parts.netloc == self._own.netloc or parts.hostname in self._source.hosts
        if not is_named or parts.scheme != self._own.scheme:
            raise SourceRefusedError(
                f"{self._source.url}: the next page is said to be at {parts.scheme}://{parts.netloc}, which the stream "
                "does not name; nothing was asked there. Fix: if it is meant, add its host to source.hosts."
            )

    def _require_success(self, answer: httpx.Response, url: str) -> None:
        code, place = answer.status_code, _without_query(url)
        if answer.is_success:
            return
        if code in _MAY_PASS:
            raise _TryAgainError(f"it answers {code} {answer.reason_phrase}", _retry_after(answer))
        if answer.has_redirect_location:
            to = _without_query(urljoin(url, answer.headers["location"]))
            raise SourceRefusedError(
                f"{place} answers {code}, a redirect to {to}, which is not followed. Fix: if it is meant, write that "
                "in source.url."
            )
        fix = _FIXES.get(code, "correct {0.request}").format(self._keys)
        refused = f"{place} answers {code} {answer.reason_phrase}. Fix: {fix}."
        raise AbsentError(refused, self._body(answer, url)) if code == 404 else SourceRefusedError(refused)

    def _body(self, answer: httpx.Response, url: str) -> bytes:
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > self._source.max_page:
                raise SourceRefusedError(
                    f"{_without_query(url)}: a page is longer than {self._source.max_page} bytes. Fix: ask for less in "
                    "source.params, or raise source.max_page."
                )
        return bytes(body)

    def _keep_the_rate(self) -> None:
        if self._source.requests_per_second:
            now = time.monotonic()
            time.sleep(max(0.0, self._not_before - now))
            self._not_before = max(now, self._not_before) + 1 / self._source.requests_per_second

    def _given_up(self, url: str, failed: _TryAgainError) -> Exception:
        place, bound = _without_query(url), spelled(self._source.give_up_after)
        if failed.after is not None and failed.after > self._source.give_up_after:
            return SourceRefusedError(
                f"{place}: {failed}, and asks to wait for {failed.after}. Fix: run again then, or raise "
                f"source.give_up_after, which is {bound}."
            )
        return SourceRefusedError(f"{place}: {failed}; it was tried for {bound}. Fix: run again once it answers.")


def _retry_after(answer: httpx.Response) -> timedelta | None:
    """How long the server asks to wait (RFC 9110, 10.2.3): seconds or a date; None where it says neither."""
    said = answer.headers.get("retry-after", "").strip()
    if said.isdecimal():
        return timedelta(seconds=min(int(said), 10**9))
    with suppress(ValueError):
        moment = parsedate_to_datetime(said)
        return max(timedelta(0), moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC))
    return None


def _next_link(answer: httpx.Response) -> str | None:
    found = answer.links.get("next", {}).get("url")
    return urljoin(str(answer.url), found) if found else None


def _without_query(url: str) -> str:
    return url.partition("?")[0]
