"""Channels that alerts are sent to: a webhook that takes JSON, or anything that apprise knows by its URL.

Here belongs how one message is sent. Not here: which ones (`alerts.py`), and where the URLs come from (`settings.py`).
No error quotes a URL, since the URL of a chat or a webhook is its password.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from sessions_platform.errors import MissingExtraError, UserError
from sessions_platform.operations.json_text import json_of

_SECONDS = 10.0
_WEBHOOKS = ("http", "https")


class ChannelError(Exception):
    """A channel did not take a message; the message has no part of its URL."""


class Channel(Protocol):
    """Where alerts go."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message (see `alerts.message`). Raises ChannelError where it was not taken."""
        ...


class Webhook:
    """An address that takes each message as one JSON document by POST, and answers with a status below 300."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, message: Mapping[str, Any]) -> None:
        """Post it."""
        import httpx

        try:
            answer = httpx.post(
                self._url,
                content=json_of(dict(message)),
                headers={"content-type": "application/json"},
                timeout=_SECONDS,
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ChannelError(f"it did not answer: {type(error).__name__}") from None
        if not answer.is_success:
            raise ChannelError(f"it answered with status {answer.status_code}")


class AppriseChannel:
    """A mail server, chat or pager, as apprise names it by a URL."""

    def __init__(self, name: str, url: str) -> None:
        try:
            import apprise
        except ImportError:
            raise MissingExtraError("apprise", "alerts") from None
        self._apprise = apprise.Apprise()
        if not self._apprise.add(url):  # it says nothing of its own
            raise UserError(
                f"SESSIONS_ALERT_URL_{name.upper()}: apprise knows no such URL. Fix: see its documentation for the "
                "form, as in mailto://user:password@example.com, or write an https:// address that takes JSON."
            )

    def send(self, message: Mapping[str, Any]) -> None:
        """Send its title and a text of the rest."""
        kind = {"recovered": "success"}.get(message["status"], "failure")
        result = self._apprise.notify(title=str(message["title"]), body=text_of(message), notify_type=kind)
        if not bool(result):  # it is no bool, so `is False` would never hold
            raise ChannelError("it did not take the message")


def channel_of(name: str, url: str) -> Channel:
    """The channel of a URL. Raises UserError where there is none of its kind."""
    scheme = url.partition("://")[0].lower()
    return Webhook(url) if scheme in _WEBHOOKS else AppriseChannel(name, url)


def text_of(message: Mapping[str, Any]) -> str:
    """A message for people: cause, partitions, fix and link, a line each."""
    lines = [("", message["cause"]), ("Partitions: ", message["partition"]), ("Fix: ", message["fix"])]
    return "\n".join(f"{label}{text}" for label, text in [*lines, ("", message["link"])] if text)
