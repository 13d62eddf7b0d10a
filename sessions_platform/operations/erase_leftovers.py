"""Remove what is left of users once the current state is without them.

Here: lake files that are superseded or were never published, quarantined files, and samples of rejected rows in
Dagster's storage. Not here: the current state (`erase_rows.py`, `erase.py`), landing files (`erase_landing.py`), and
what a stream's tables contain (`storage/warehouses/postgres/erasure.py`).
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import polars as pl
import psycopg
from psycopg.sql import SQL, Identifier

from sessions_platform.contracts.column_types import OWN_USER_ID
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.operations.clean_up import earlier_clock
from sessions_platform.operations.erase_landing import holds_text
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.raw_files import QUARANTINED_FILES
from sessions_platform.storage.lake.errors import DamagedFileError, MissingFileError
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.postgres.database import Database
from sessions_platform.transforms.erasure import Naming, UserPattern
from sessions_platform.transforms.rejections import payload_bytes

# An unfinished file that nobody has written to for so long belongs to a process that was killed.
_ABANDONED = timedelta(hours=1)
_USER: dict[str, pl.DataType] = {"user_id": pl.String()}
# Where sessions are cut by person, an event's own user is beside the person.
_USERS: dict[str, pl.DataType] = {**_USER, OWN_USER_ID: pl.String()}
_SESSION: dict[str, pl.DataType] = {"session_id": pl.String()}

_ERASED = "[erased]"
# Dagster's tables and columns that may contain samples of rejected rows, or repaired rows of a run's configuration.
_DAGSTER = {
    "event_logs": ("id", ("event",)),
    "asset_keys": ("id", ("last_materialization", "asset_details")),
    "asset_check_executions": ("id", ("evaluation_event",)),
    "runs": ("id", ("run_body",)),
}


@dataclass
class RemovedFiles:
    """What was looked at and deleted; the ids of sessions that superseded files contained, and files that stay."""

    looked_at: int = 0
    deleted: int = 0
    unfinished: int = 0  # deleted
    being_written: int = 0  # stay
    session_ids: set[str] = field(default_factory=set)


def remove_superseded_files(context: StreamContext, pattern: UserPattern) -> RemovedFiles:
    """Delete the lake files that name the users and are not part of the current state.

    Whoever is about to publish such a file is refused, since what it was made of is no longer current.
    """
    removed, in_use, users = RemovedFiles(), context.ledger.paths_in_use(), _user_columns(context)
    tests: dict[str, Callable[[str], bool]] = {
        "raw_events": lambda path: _raw_names(context, path, pattern),
        "rejected_events": lambda path: _rejected_names(context, path, pattern),
        "events": lambda path: _is_of(context, path, pattern, removed, _USER),
        "sessionized_events": lambda path: _is_of(context, path, pattern, removed, users | _SESSION),
    }
    for asset, names in tests.items():
        listed = context.lake.filesystem.list(f"{context.stream.name}/{asset}")
        unneeded = [path for path in listed if path not in in_use and path.endswith(".parquet")]
        naming = [path for path in unneeded if _may_name(path, names)]
        context.lake.remove_all(naming)
        removed.looked_at += len(unneeded)
        removed.deleted += len(naming)
    _remove_abandoned(context, removed)
    return removed


def partitions_holding(context: StreamContext, pattern: UserPattern) -> tuple[list[str], int]:
    """The session partitions whose newest sessionized events contain the users; and how many files were looked at."""
    versions, nothing, users = context.ledger.newest_sessions(), RemovedFiles(), _user_columns(context)
    held = [v.session_partition for v in versions if _is_of(context, v.path, pattern, nothing, users)]
    return held, len(versions)


def other_ids_of_persons(context: StreamContext, pattern: UserPattern) -> int:
    """How many ids in user_id besides those of the pattern have events in newest sessions of the users as persons.

    None where sessions are not cut by person.
    """
    if context.stream.persons is None:
        return 0
    is_theirs = pl.col("user_id").is_in(list(pattern.stored)) & ~pl.col(OWN_USER_ID).is_in(list(pattern.stored))
    paths = [version.path for version in context.ledger.newest_sessions()]
    ids = context.lake.scan(paths, _USERS).filter(is_theirs).select(pl.col(OWN_USER_ID).unique())
    return ids.collect(engine="streaming").height


def _user_columns(context: StreamContext) -> dict[str, pl.DataType]:
    """The columns of sessionized events with users, but for one of the stream's own that only has the name."""
    return _USER if OWN_USER_ID in context.event_columns else _USERS


def quarantined_naming(context: StreamContext, pattern: UserPattern) -> list[str]:
    """The digests of quarantined files whose bytes name the users."""
    folder = f"{context.stream.name}/{QUARANTINED_FILES}"
    paths = list(context.lake.filesystem.list(folder))
    return [path.rpartition("/")[2] for path in paths if _holds_text(context, path, pattern)]


def _holds_text(context: StreamContext, path: str, pattern: UserPattern) -> bool:
    with context.lake.filesystem.local(path) as copy:
        return holds_text(copy, pattern, context.lake.scratch)


def remove_quarantined(context: StreamContext, digest: str) -> None:
    """Delete a quarantined file."""
    context.lake.remove(f"{context.stream.name}/{QUARANTINED_FILES}/{digest}")


def redact_dagster(database: Database, pattern: UserPattern) -> int:
    """Replace samples and repaired rows in Dagster's storage that name the users; how many records were changed.

    Dagster has no interface for that. Only texts within tables of samples, and payloads of a run's configuration, are
    replaced, so that nothing that Dagster reads itself changes.
    """
    changed = 0
    with database.transaction() as connection:
        for table, (key, columns) in _DAGSTER.items():
            row = connection.execute("select to_regclass(%s) is not null", [table]).fetchone()
            if row == (True,):
                changed += sum(_redact_column(connection, table, key, column, pattern) for column in columns)
    return changed


def _redact_column(connection: psycopg.Connection, table: str, key: str, column: str, pattern: UserPattern) -> int:
    names = {"table": Identifier(table), "key": Identifier(key), "column": Identifier(column)}
    wanted = [f"%{user.translate(_LIKE)}%" for user in sorted(pattern.texts)]
    find = SQL("select {key}, {column} from {table} where {column} like any(%s)").format(**names)
    update = SQL("update {table} set {column} = %s where {key} = %s").format(**names)
    changed = 0
    with connection.cursor("erasure") as rows:
        rows.execute(find, [wanted])
        for row_key, text in rows:
            redacted = _redacted(text, pattern)
            if redacted != text:
                connection.execute(update, [redacted, row_key])
                changed += 1
    return changed


_LIKE = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})


def _redacted(text: str, pattern: UserPattern) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return text
    redacted = _walk(document, pattern, is_shown=False)
    return text if redacted == document else json.dumps(redacted)


def _walk(value: Any, pattern: UserPattern, *, is_shown: bool) -> Any:
    """The value with texts replaced that name a user and are shown to people: in a record of a table, or as payload."""
    if isinstance(value, dict):
        is_record = is_shown or value.get("__class__") == "TableRecord"
        return {key: _walk(item, pattern, is_shown=is_record or key == "payload") for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, pattern, is_shown=is_shown) for item in value]
    if isinstance(value, str) and is_shown and pattern.named_in(value.encode("utf-8", "surrogatepass")):
        return _ERASED
    return value


def _may_name(path: str, names: Callable[[str], bool]) -> bool:
    """Whether a file that nobody needs names a user, or can't be read, so that it might."""
    try:
        return names(path)
    except MissingFileError:  # it has been cleaned up meanwhile
        return False
    except DamagedFileError:
        return True


def _raw_names(context: StreamContext, path: str, pattern: UserPattern) -> bool:
    own = (Naming.owner.value, Naming.text.value)
    with closing(prefetch(context.lake.blocks([path], RAW_EVENTS))) as blocks:
        return any(pattern.rows_naming(block)["naming"].is_in(own).any() for block in blocks)


def _rejected_names(context: StreamContext, path: str, pattern: UserPattern) -> bool:
    def payloads() -> Iterator[bytes]:
        for block in context.lake.blocks([path], REJECTED_EVENTS):
            for payload, encoding in block.select("payload", "payload_encoding").iter_rows():
                yield payload_bytes(payload, encoding)

    return any(map(pattern.named_in, payloads()))


def _is_of(
    context: StreamContext, path: str, pattern: UserPattern, removed: RemovedFiles, columns: dict[str, pl.DataType]
) -> bool:
    names_user = pl.any_horizontal(pl.col(name).is_in(list(pattern.stored)) for name in columns if name in _USERS)
    rows = context.lake.scan([path], columns).filter(names_user).collect()
    if "session_id" in columns:
        removed.session_ids.update(rows["session_id"].drop_nulls())
    return rows.height > 0


def _remove_abandoned(context: StreamContext, removed: RemovedFiles) -> None:
    """Delete the drafts of killed processes, which no reader of the lake sees, and count those being written."""
    filesystem, now = context.lake.filesystem, earlier_clock(context)
    for draft in filesystem.drafts(context.stream.name):
        if now - draft.written_at > _ABANDONED:
            filesystem.discard(draft)
            removed.unfinished += 1
        else:
            removed.being_written += 1
