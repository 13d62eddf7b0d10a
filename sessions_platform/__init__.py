"""A data platform that turns raw events into sessions.

In Python it begins with `open`. Here is nothing that takes long to import: what a stream offers is in `api`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sessions_platform.api import OpenStream
    from sessions_platform.settings import Settings

__all__ = ["open"]


def open(stream: str, settings: "Settings | None" = None) -> "OpenStream":
    """Open a stream for reading, ingesting and more, without connecting to anything yet.

    Args:
        stream: its name.
        settings: the platform's; by default as the environment says (`SESSIONS_HOME`, `SESSIONS_STREAMS`, …).

    Raises:
        sessions_platform.errors.UserError: there is no such stream, or its file has problems.

    Example:
        >>> import sessions_platform
        >>> shop = sessions_platform.open("web_shop")
        >>> shop.sessions(since=date(2026, 1, 8)).group_by("primary_action").len()
    """
    from sessions_platform.api import open_stream

    return open_stream(stream, settings)
