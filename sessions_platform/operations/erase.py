"""Erase users: from the lake, the dead-letter queue, the warehouse and the landing files, and keep them from coming
back.

Here: the order of the steps, and the receipt. First the users are refused, then their raw rows are replaced by files
without them, and all that derives from raw rows is made anew as after any change of a landing file; then copies are
removed. Each step can be repeated: an erasure that was killed is completed by running it again. Not here: the steps
(`erase_rows.py`, `erase_landing.py`, `erase_leftovers.py`), and arguments and output (`cli`).
"""

import uuid
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, get_args

from sessions_platform.contracts.targets import TargetTable
from sessions_platform.errors import UserError
from sessions_platform.operations.erase_landing import rewrite_landing_files
from sessions_platform.operations.erase_leftovers import (
    other_ids_of_persons,
    partitions_holding,
    quarantined_naming,
    redact_dagster,
    remove_quarantined,
    remove_superseded_files,
)
from sessions_platform.operations.erase_rows import RawRowsOfUsers, find_rows, replace_raw_rows
from sessions_platform.operations.exclusion import remaking
from sessions_platform.operations.status import unpublished_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import deliver
from sessions_platform.pipeline.load import load_sessions
from sessions_platform.pipeline.publish import publish
from sessions_platform.pipeline.quality import ValidationChecks, check_sessionized, stop_if_failed
from sessions_platform.pipeline.run import validate_partitions
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.pipeline.tombstones import Tombstones, read_tombstones, tombstones_of
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.ledger.ledger import Erasure, StaleWriteError
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.warehouses.registry import open_target
from sessions_platform.transforms.erasure import UserPattern

Receipt = dict[str, Any]

# An erasure is not kept from publishing by a share of rejected rows: it has only become another one by the erasure.
_NOT_DECISIVE = "rejection_rate"

_MAY_REMAIN = [
    "Backups of the lake, of the database and of the landing files, and files outside of the landing folder.",
    "PostgreSQL: freed pages until they are written again, the write-ahead log, and replicas.",
    "Dagster: log lines and what you have put into metadata, tags or a run's configuration yourself.",
    "The most frequent values of enriched columns, in the metadata of events: those that are made of what a user sent.",
    "Models of scores: weights that were fitted to all sessions, and values that twenty sessions of five users had.",
    "Targets: earlier versions of their tables and freed blocks of their files, as docs/targets.md says of each.",
    "Spark, where it was used: what it has spilled and moved, in the local folders of executors that were killed.",
    "Reports that were written, which quote the most frequent pages.",
    "The SHA-256 of landing files as they were delivered, in the ledger, by which a redelivery is recognized.",
]

_MAY_REMAIN_OF_OBJECTS = [
    "The lake's bucket: noncurrent versions and soft-deleted objects, where it keeps such, until its lifecycle rules "
    "remove them.",
    "Drafts of killed processes on other machines: run clean-up there once they are older than the retention, or "
    "remove the folder lake in the scratch folder while nothing runs.",
    "Drafts of killed executors, where the engine spark was used: in folders sessions-spark-… of Spark's local "
    "folders, as docs/spark.md says.",
]


def erase(
    context: StreamContext,
    users: Sequence[str],
    *,
    dagster: Database | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Receipt:
    """Erase users of a stream, and refuse their rows from now on.

    Args:
        context: the stream's.
        users: their ids, as in the column user_id.
        dagster: the database of Dagster's storage; None where there is none to look through.
        report: is called with a line of text at each phase.

    Returns:
        The receipt, which is stored in the ledger, too. It contains no id.

    Raises:
        UserError: an id is empty; the stream is being rebuilt, or users are being erased; the key is not the one of
            earlier erasures.
        CheckFailedError: a check of severity error failed. Running it again continues.
    """
    pattern = _pattern(context, users)
    context.prepare()
    with remaking(context):
        return _Erasing(context, pattern, dagster, report).run()


def dry_run(context: StreamContext, users: Sequence[str]) -> Receipt:
    """What an erasure would find; nothing is changed. Arguments and errors as for `erase`."""
    pattern = _pattern(context, users)
    context.prepare()
    found = find_rows(context, pattern)
    partitions, looked_at = partitions_holding(context, pattern)
    return {
        "stream": context.stream.name,
        "users": len(pattern.users),
        "dry_run": True,
        "looked_at": {"raw_files": found.looked_at, "sessionized_files": looked_at},
        "raw_rows": found.counts,
        "raw_files": len(found.sharing),
        "landing_partitions": sorted({file.landing_partition for file in found.files}),
        "session_partitions": partitions,
        "quarantined_files": len(quarantined_naming(context, pattern)),
        "mentions_in_events_of_others": found.mentions,
        **({"other_ids_of_persons": other_ids_of_persons(context, pattern)} if context.stream.persons else {}),
    }


def users_in(file: Path) -> list[str]:
    """The ids of a file with one on each line; empty lines are skipped. Raises UserError where it can't be read."""
    try:
        return [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file}: it can't be read as text: {error}. Fix: name a file with an id on each line."
        ) from None


def _has_rows(context: StreamContext, target: str, table: TargetTable) -> bool:
    """Whether a table of a target has rows, or may have, since it can't be read."""
    try:
        return any(not rows.is_empty() for rows in open_target(context.stream, target, [table]).read(table, None))
    except UserError:
        return True


def _pattern(context: StreamContext, users: Sequence[str]) -> UserPattern:
    if not users or not all(user.strip() for user in users):
        raise UserError("--user: it names nobody. Fix: write the user's id, as it is in the column user_id.")
    if broken := [user for user in users if "\0" in user or not user.isprintable()]:
        raise UserError(f"--user: {broken[0]!r} can't be an id. Fix: write it as it is in the column user_id.")
    return UserPattern(users, context.stream)


def may_remain(lake: Lake) -> list[str]:
    """Where copies of erased rows may be that the platform can't reach, a sentence each."""
    return _MAY_REMAIN if lake.filesystem.is_local else [*_MAY_REMAIN, *_MAY_REMAIN_OF_OBJECTS]


class _Erasing:
    """One erasure, step by step."""

    def __init__(
        self,
        context: StreamContext,
        pattern: UserPattern,
        dagster: Database | None,
        report: Callable[[str], None],
    ) -> None:
        self._context, self._pattern, self._dagster, self._report = context, pattern, dagster, report

    def run(self) -> Receipt:
        context = self._context
        tombstones, erasure = self._begin()
        context.ledger.shadow.delete_stream()  # of a rebuild that was killed
        self._report("replacing raw rows")
        erasure, found = replace_raw_rows(context, self._pattern, tombstones, erasure)
        tombstones = read_tombstones(context)
        self._report("validating what is left")
        landing_partitions = self._publish(erasure)
        session_partitions, sessionized = self._refresh(erasure)
        undelivered = self._deliver(erasure)
        self._report("rewriting landing files, and removing copies")
        corrupt = quarantined_naming(context, self._pattern)
        self._refuse_files(tombstones, corrupt)
        landing = rewrite_landing_files(context, self._pattern, tombstones, erasure, frozenset(corrupt))
        for digest in corrupt:
            remove_quarantined(context, digest)
        removed = remove_superseded_files(context, self._pattern)
        history, decisions = self._remove_history(removed.session_ids, erasure)
        receipt = {
            "erasure_id": erasure.erasure_id,
            "stream": context.stream.name,
            "users": len(self._pattern.users),
            "looked_at": {
                "raw_files": found.looked_at,
                "sessionized_files": sessionized,
                "landing_files": landing.looked_at,
                "superseded_files": removed.looked_at,
            },
            "erased_raw_rows": {name: erasure.progress.get(f"rows_{name}", 0) for name in found.counts},
            "rewritten": {
                "raw_files": erasure.progress.get("raw_files", 0),
                "landing_partitions": landing_partitions,
                "session_partitions": session_partitions,
                "landing_files": landing.rewritten,
                "rows_in_landing_files": landing.rows,
            },
            "deleted": {
                "rejected_rows": erasure.progress.get("rejected_rows", 0),
                "history_rows": history,
                "superseded_files": removed.deleted,
                "unfinished_files": removed.unfinished,
                "quarantined_files": len(corrupt),
                "corrupt_landing_files": landing.deleted,
            },
            "redacted": {"decisions": decisions, "dagster_records": self._redact_dagster()},
            "targets": [name for name in context.stream.targets if name not in undelivered],
            "left": [
                *self._left(found, landing.left, removed.being_written),
                *undelivered.values(),
                *self._no_longer_delivered(undelivered),
            ],
            "may_remain": may_remain(context.lake),
        }
        context.ledger.finish_erasure(erasure, receipt)
        return receipt

    def _begin(self) -> tuple[Tombstones, Erasure]:
        """Refuse the users from now on."""
        context, users = self._context, sorted(self._pattern.users)
        tombstones = tombstones_of(context, context.ledger.tombstones(), context.erasure_key.read_or_make())
        hashes = sorted(map(tombstones.hash_of_user, users))
        erasure = context.ledger.begin_erasure(str(uuid.uuid4()), hashes, tombstones.of_users(users))
        return tombstones, erasure

    def _refuse_files(self, tombstones: Tombstones, digests: Sequence[str]) -> None:
        with self._context.database.transaction() as connection:
            self._context.ledger.lock(connection)
            self._context.ledger.add_tombstones(connection, [tombstones.of_file(digest) for digest in digests])

    def _publish(self, erasure: Erasure) -> list[str]:
        """Validate and publish the landing partitions whose raw rows were replaced, and return all of them."""
        context, affected = self._context, erasure.progress.get("landing_partitions", [])
        pending = unpublished_landing_partitions(context)
        partitions = [partition for partition in affected if partition in pending]
        checks = ValidationChecks(context)
        validated = list(validate_partitions(context, context.raw_events(partitions), checks))
        stop_if_failed(result for result in checks.results() if result.name != _NOT_DECISIVE)
        for partition in validated:
            publish(context, partition, erasure.run_id)
        return affected

    def _refresh(self, erasure: Erasure) -> tuple[list[str], int]:
        """Sessionize and load the session partitions that contain the users, or are stale by the erasure."""
        context = self._context
        with context.database.transaction(read_only=True) as connection:
            loaded = context.warehouse.erasure.partitions_of(connection, sorted(self._pattern.stored))
        held, looked_at = partitions_holding(context, self._pattern)
        partitions = sorted({*loaded, *held, *context.ledger.stale_since(erasure.run_id)})
        if partitions:
            self._report(f"making the sessions of {len(partitions)} partitions anew")
            sessionize_partitions(context, partitions, erasure.run_id)
            sessionized = context.sessionized_events(partitions)
            stop_if_failed([check_sessionized(context, sessionized)])
            load_sessions(context, sessionized, erasure.run_id)
        return partitions, looked_at

    def _deliver(self, erasure: Erasure) -> dict[str, str]:
        """Let all targets have the sessions that are left, and return why those could not that have failed, by name."""
        context, failed = self._context, dict[str, str]()
        for name in context.stream.targets:
            self._report(f"delivering to {name}")
            try:
                deliver(context, open_target(context.stream, name), erasure.run_id)
            except (UserError, StaleWriteError) as error:
                failed[name] = f"The target {name} has them until it is delivered to: {error}"
        return failed

    def _no_longer_delivered(self, undelivered: Collection[str]) -> list[str]:
        """Where deliveries were made once that the stream's file no longer states, a sentence each."""
        context = self._context
        tables = [
            f"The target {name} has a table {table}, which is no longer delivered to it, and may have them. "
            "Fix: remove the table there."
            for name, config in context.stream.targets.items()
            for table in get_args(TargetTable)
            if name not in undelivered and table not in config.tables and _has_rows(context, name, table)
        ]
        gone = [name for name in context.ledger.known_targets() if name not in context.stream.targets]
        return tables + [
            f"The target {name}, which has left {context.stream.path.name}, may have them. "
            "Fix: remove what was delivered to it, or state it again and erase again."
            for name in gone
        ]

    def _remove_history(self, session_ids: set[str], erasure: Erasure) -> tuple[int, int]:
        context, removal = self._context, self._context.warehouse.erasure
        with context.database.transaction() as connection:
            context.ledger.lock(connection)
            users = sorted(self._pattern.stored)
            history = removal.remove_history(connection, users, sorted(session_ids), erasure.run_id)
            decisions = removal.redact_decisions(connection, self._pattern.named_in)
        with context.database.committing() as connection:
            removal.vacuum(connection)
        return history, decisions

    def _redact_dagster(self) -> int:
        return redact_dagster(self._dagster, self._pattern) if self._dagster else 0

    def _left(self, found: RawRowsOfUsers, landing: Sequence[str], being_written: int) -> list[str]:
        """What still names the users and was found, a sentence each."""
        left = list(landing)
        others = other_ids_of_persons(self._context, self._pattern)
        if others:
            left.append(
                f"Sessions of the person remain, made of the events of other ids ({others}). Fix: erase these, too; "
                f"{self._context.stream.name}.identity_links has them as anonymous_id, where user_id is the person."
            )
        if found.mentions:
            needed = "erase their ids, where they are the person's" if others else "none is needed, or erase them"
            left.append(f"{found.mentions} accepted rows of other users mention the id. Fix: {needed}.")
        if being_written:
            left.append(f"{being_written} lake files are being written. Fix: erase again once no run is in progress.")
        named = [file.uri for file in self._context.ledger.files() if self._pattern.named_in(file.uri.encode())]
        return left + [f"{uri}: the file's name names the user. Fix: rename files before they land." for uri in named]
