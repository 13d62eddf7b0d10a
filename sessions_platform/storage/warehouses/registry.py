"""Targets of streams as their files name them. The types of targets are in `contracts/targets.py`: one line each.

PostgreSQL is not among them, since it is the system of record and not a target.
"""

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any

from sessions_platform.contracts.sessions import session_columns, sessionized_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import TargetTable
from sessions_platform.errors import UserError
from sessions_platform.storage.warehouses.base import Columns, Target


def open_target(stream: Stream, name: str, tables: Sequence[TargetTable] | None = None) -> Target[Any]:
    """A target of a stream, without connecting to it.

    Args:
        stream: whose target.
        name: the target's.
        tables: those to read; by default those that the stream's file delivers.

    Raises:
        UserError: the stream has no target of this name.
        MissingExtraError: the library that the target needs is not installed.
    """
    config = stream.targets.get(name)
    if config is None:
        known = ", ".join(stream.targets) or "none"
        raise UserError(f"{stream.name}: it has no target {name}. Fix: name one of its targets ({known}).")
    columns: dict[str, Columns] = {
        "sessions": session_columns(stream),
        "sessionized_events": sessionized_columns(stream),
    }
    chosen = {table: columns[table] for table in tables or config.tables}
    return resolve_name(config.implementation)(name, config, stream, chosen)
