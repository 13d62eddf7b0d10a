"""Housekeeping: superseded files, versions and changes of one stream are removed after their retention.

Here: what is removed, in which order. A killed run leaves nothing that a further one does not remove, since a file is
removed only after nothing in the ledger needs it, and what is needed is asked anew each time. Not here: rows of the
dead-letter queue (`operations/dead_letters.py`), and Dagster's runs and ticks (`orchestration/purge.py`).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.lake.filesystem import ListedFile


@dataclass(frozen=True)
class CleanUp:
    """What was removed, or would be: `files` of so many `bytes`, unfinished `drafts`, `versions` and `changes`."""

    files: int
    bytes: int
    drafts: int
    versions: int
    changes: int

    @property
    def document(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


def clean_up(context: StreamContext, *, dry_run: bool = False, now: datetime | None = None) -> CleanUp:
    """Remove what the stream's `retention` no longer keeps.

    Lake files are removed if they are older than the retention, and nothing current needed them since then: no
    current version, no landing file, no written sessions that are not loaded yet, no shadow build. Quarantined files
    stay, because rejected rows refer to them by their path.

    Args:
        context: the stream's.
        dry_run: change nothing, and report what would be removed.
        now: the time with which the lake files' own times are compared; by default the current time, by this host's
            clock or the database's, whichever is behind the other: a clock that is wrong removes nothing too early.

    Raises:
        UserError: another clean-up of the stream is running.
    """
    context.prepare()
    with context.database.alone(f"sessions_platform/{context.stream.name}/clean_up") as is_alone:
        if not is_alone:
            raise UserError(f"{context.stream.name}: another clean-up is running. Fix: wait until it has ended.")
        before = (now or earlier_clock(context)) - context.stream.retention.superseded_files
        files = list(_superseded_files(context, before))
        filesystem = context.lake.filesystem
        drafts = [draft for draft in filesystem.drafts(context.stream.name) if draft.written_at < before]
        if not dry_run:
            context.lake.remove_all([file.path for file in files])
            for draft in drafts:
                filesystem.discard(draft)
        versions, changes = (_count_rows if dry_run else _remove_rows)(context)
    return CleanUp(len(files), sum(file.size for file in files), len(drafts), versions, changes)


def earlier_clock(context: StreamContext) -> datetime:
    """The current time by this host's clock or the database's, whichever is behind the other."""
    with context.database.transaction(read_only=True) as connection:
        row = connection.execute("select now()").fetchone()
    assert row is not None
    return min(datetime.now(UTC), row[0])


def _superseded_files(context: StreamContext, before: datetime) -> Iterator[ListedFile]:
    """The lake files that were written before this time, and are not needed.

    The files are listed first: one that is published in between is not among them, or is needed by then.
    """
    lake, retained = context.lake, context.stream.retention
    listed = [file for file in lake.filesystem.listed(context.stream.name) if file.path.endswith(".parquet")]
    needed, of_versions, reread = context.ledger.needed_files(retained.superseded_files)
    reread_folders = {context.folder("raw_events", partition) for partition in reread}
    for file in listed:
        was_never_published = file.path not in of_versions and file.path.rpartition("/")[0] in reread_folders
        if file.path not in needed and not was_never_published and file.written_at < before:
            yield file


def _count_rows(context: StreamContext) -> tuple[int, int]:
    """How many versions and changes `_remove_rows` would remove."""
    retained = context.stream.retention
    versions = context.ledger.superseded_versions(retained.superseded_versions)
    if retained.session_changes is None:
        return versions, 0
    with context.database.transaction(read_only=True) as connection:
        return versions, context.queries.changes_older_than(connection, retained.session_changes)


def _remove_rows(context: StreamContext) -> tuple[int, int]:
    retained = context.stream.retention
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        versions = context.ledger.delete_superseded(connection, retained.superseded_versions)
        if retained.session_changes is None:
            return versions, 0
        return versions, context.warehouse.expire_changes(connection, retained.session_changes)
