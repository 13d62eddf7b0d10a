"""A data platform that turns raw events into sessions.

In Python it begins with `open`, and in a Dagster project of one's own with `definitions_for`. Here is nothing that
takes long to import: what a stream offers is in `api`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import dagster as dg

    from sessions_platform.api import OpenStream
    from sessions_platform.orchestration.component import Stream
    from sessions_platform.settings import Settings

__all__ = ["Stream", "definitions_for", "open"]


def definitions_for(folder: "str | PathLike[str]", key_prefix: "str | Sequence[str]" = ()) -> "dg.Definitions":
    """The streams of a folder, to be merged into the definitions of a Dagster project of one's own.

    They have their jobs, sensors and schedules, and the resources `platform` and `lake`; executor, loggers and storage
    are the project's. Settings but SESSIONS_STREAMS are those of the environment.

    Args:
        folder: with the streams' YAML files; a relative one is within the working folder of the process.
        key_prefix: what the keys of all assets begin with, as a/b or as a list.

    Returns:
        Definitions, of which those of several folders merge, too.

    Raises:
        sessions_platform.errors.UserError: a stream's file has problems, each told with file and line; two streams have
            one name; or the prefix can't be used.

    Example:
        >>> defs = dg.Definitions.merge(own, sessions_platform.definitions_for("streams", key_prefix="analytics"))
    """
    from sessions_platform.orchestration.embedding import definitions_for as made

    return made(folder, key_prefix)


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


def __getattr__(name: str) -> "type[Stream]":
    """The Dagster component `Stream`, which is imported where it is asked for."""
    if name != "Stream":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sessions_platform.orchestration.component import Stream

    return Stream


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
