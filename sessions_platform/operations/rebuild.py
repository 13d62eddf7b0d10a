"""Recompute everything of a stream from its raw rows as a shadow build, and swap it in at once.

For changes that can't be made in place: under another cadence or timezone partition keys mean other times, and a
column of another type needs another table. Here belong the order of the shadow build and its swap. Not here: the stages
that it calls (`pipeline`), and how the ledger and the warehouse replace one stream by another (`storage`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

import polars as pl
import psycopg

from sessions_platform.contracts.calendar import Cadence
from sessions_platform.contracts.polars_types import key_expr
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.errors import UserError
from sessions_platform.operations.exclusion import remaking
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.identity import links_in
from sessions_platform.pipeline.lineage import find_merged_into
from sessions_platform.pipeline.load import checked_sessions
from sessions_platform.pipeline.progress import count, steps
from sessions_platform.pipeline.publish import landing_row
from sessions_platform.pipeline.quality import ContractCheck, ValidationChecks, check_sessionized, stop_if_failed
from sessions_platform.pipeline.raw_files import rows_of
from sessions_platform.pipeline.reference_data import References, read_references
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.pipeline.unpublished import removing_unpublished
from sessions_platform.pipeline.validate import validate_partition
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.ledger.ledger import KnownFile, LandingVersion, Ledger, SessionVersion
from sessions_platform.storage.postgres.errors import UnreachableError
from sessions_platform.storage.warehouses.postgres.loader import Loaded

_ATTEMPTS = 5
_PARTITIONS_AT_ONCE = 100


@dataclass(frozen=True)
class Rebuilt:
    """What is current after the swap; `sessions` and `links` count those of each partition."""

    landings: tuple[LandingVersion, ...]
    sessionized: tuple[SessionVersion, ...]
    sessions: dict[str, int]
    changed: Loaded
    rejected: Loaded
    links: dict[str, int]


def rebuild(context: StreamContext, run_id: str, report: Callable[[str], None]) -> Rebuilt:
    """Rebuild a stream as its file describes it now.

    Readers see the old state until the new one is complete. If landing files are read meanwhile, the shadow build
    begins again, up to five times.

    Args:
        context: the stream's; its calendars may differ from those of the current partitions.
        run_id: recorded with whatever changes.
        report: is called with a line of text at each phase.

    Raises:
        CheckFailedError: a check of severity error failed. The current state stays as it is.
        UserError: another process is rebuilding the stream, or landing files were read during each of five attempts.
    """
    with remaking(context):
        for _ in range(_ATTEMPTS):
            if rebuilt := _attempt(context, run_id, report):
                return rebuilt
            report("landing files were read meanwhile: starting again")
    raise UserError(
        f"{context.stream.name}: landing files were read {_ATTEMPTS} times while it was rebuilt. "
        f"Fix: turn its sensors and schedules off until the rebuild has ended."
    )


def _attempt(context: StreamContext, run_id: str, report: Callable[[str], None]) -> Rebuilt | None:
    """One shadow build and its swap; None where landing files were read since it began."""
    current = Ledger(context.database, context.stream.name)
    current.shadow.delete_stream()  # of a rebuild that was killed
    with removing_unpublished(context), _deleted_on_failure(current.shadow):
        return _build_and_swap(context, current, run_id, report)


@contextmanager
def _deleted_on_failure(shadow: Ledger) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(UnreachableError, psycopg.Error):
            shadow.delete_stream()
        raise


def _build_and_swap(
    context: StreamContext, current: Ledger, run_id: str, report: Callable[[str], None]
) -> Rebuilt | None:
    shadow = replace(context, ledger_shadow=True)
    shadow.prepare()
    files = current.files()
    _transfer(shadow, current, files)
    landing_partitions = sorted({file.landing_partition for file in shadow.ledger.files() if file.path is not None})
    report(f"{len(landing_partitions)} landing partitions to validate")
    references = read_references(shadow)
    for partition in steps("validating", landing_partitions):
        _validate(shadow, partition, references, run_id)
    partitions = _session_partitions(shadow)
    report(f"{len(partitions)} session partitions to compute")
    for first in steps("computing sessions", range(0, len(partitions), _PARTITIONS_AT_ONCE)):
        sessionize_partitions(shadow, partitions[first : first + _PARTITIONS_AT_ONCE], run_id)
    sessionized = shadow.sessionized_events(partitions)
    stop_if_failed([check_sessionized(shadow, sessionized)])
    report("swapping the shadow build in")
    return _swap(context, current, shadow, files, sessionized, run_id)


def _transfer(shadow: StreamContext, current: Ledger, files: Sequence[KnownFile]) -> None:
    """Record all landing files for the shadow stream.

    Raw files are shared with the current stream, and copied only if any of their landing files changes its landing
    partition. Repairs follow the file of their original row.
    """
    calendars = current.recorded_calendars()
    partitions = {file.uri: _landing_partition(file, shadow, calendars) for file in files if not file.is_replay}
    originals = {repair.uri: repair.original_uri for repair in current.repairs()}
    partitions |= {file.uri: partitions[originals[file.uri]] for file in files if file.is_replay}
    copies = _copied(shadow, files, partitions)
    for file in files:
        shadow.ledger.transfer(file, current, partitions[file.uri], copies.get(file.uri, file.path))


def _copied(shadow: StreamContext, files: Sequence[KnownFile], partitions: Mapping[str, str]) -> dict[str, str]:
    """The new raw file of each landing file whose rows are copied: one for each of its raw file's new partitions."""
    of_path: dict[str, list[KnownFile]] = {}
    for file in files:
        if file.path is not None:
            of_path.setdefault(file.path, []).append(file)
    copies: dict[str, str] = {}
    for path, together in of_path.items():
        if all(partitions[file.uri] == file.landing_partition for file in together):
            continue
        for partition in sorted({partitions[file.uri] for file in together}):
            uris = [file.uri for file in together if partitions[file.uri] == partition]
            blocks = _assigned(shadow, path, uris, partition)
            copy = shadow.lake.write(shadow.folder("raw_events", partition), blocks, RAW_EVENTS).path
            copies.update(dict.fromkeys(uris, copy))
    return copies


def _landing_partition(file: KnownFile, context: StreamContext, recorded_calendars: dict[str, str]) -> str:
    """The landing partition of a file under the stream's calendar: by its name, or else by when it was last read.

    That time is clamped to the partition that the file belonged to, so that no event in it becomes one from after its
    partition that was not before.
    """
    calendar = context.stream.landing_calendar
    if recorded_calendars.get("landing.partition") == calendar.cadence.value:
        return file.landing_partition
    if named := context.source.partition_of(file.uri):
        return named
    old = replace(calendar, cadence=Cadence(recorded_calendars["landing.partition"])).window(file.landing_partition)
    read_at = min(max(file.seen_at, old.start), old.end - timedelta(microseconds=1))
    return max(calendar.key_of(read_at), calendar.first_key)


def _assigned(shadow: StreamContext, path: str, uris: Sequence[str], landing_partition: str) -> Iterator[pl.DataFrame]:
    for block in rows_of(shadow.lake, path, uris):
        yield block.with_columns(landing_partition=pl.lit(landing_partition))


def _validate(shadow: StreamContext, partition: str, references: References, run_id: str) -> None:
    validated = validate_partition(shadow, partition, shadow.raw_events([partition]), references)
    count(validated.raw_rows)
    checks = ValidationChecks(shadow)
    checks.add(validated)
    stop_if_failed(checks.results())
    with shadow.database.transaction() as connection:
        shadow.ledger.lock(connection)
        shadow.ledger.publish(connection, landing_row(shadow, validated, run_id), affected=())


def _session_partitions(shadow: StreamContext) -> list[str]:
    """The session partitions that contain any accepted event: every session began in one of them."""
    paths = [landing.events_path for landing in shadow.ledger.landings()]
    events = shadow.lake.scan(paths, shadow.event_columns)
    return events.select(key_expr(shadow.stream.session_calendar).unique().sort()).collect().to_series().to_list()


def _swap(
    context: StreamContext,
    current: Ledger,
    shadow: StreamContext,
    files: Sequence[KnownFile],
    sessionized: Dataset,
    run_id: str,
) -> Rebuilt | None:
    """Replace the current stream by the shadow build, in one transaction; None where its files have changed."""
    warehouse, ledger = context.warehouse, shadow.ledger
    landings, versions = ledger.landings(), ledger.newest_sessions()
    links = list(links_in(context, [landing.events_path for landing in landings]))  # before the lock: it takes long
    with (
        closing(prefetch(checked_sessions(context.stream, sessionized, ContractCheck("sessions")))) as frames,
        warehouse.staged_sessions(frames) as sessions,
        context.database.transaction() as connection,
    ):
        current.lock(connection)
        ledger.lock(connection)
        if not current.contains(connection, files):
            return None
        context.tables.retype(connection)
        context.tables.drop_obsolete(connection)
        context.tables.prepare(connection)
        before = context.queries.partitions(connection)
        find = partial(find_merged_into, shadow, landings, current.loaded_sessions(connection), versions)
        partitions = list(dict.fromkeys([*before["session_partition"], *sessionized.partitions]))
        changed = warehouse.load_sessions(connection, sessions, partitions, run_id, find)
        ledger.mark_loaded(connection, versions)
        warehouse.scores.forget_unloaded(connection, [version.session_partition for version in versions])
        current.replace_by(connection, ledger)
        warehouse.identity_links.replace(connection, links, None)
        linked = warehouse.identity_links.counts(connection)
        rows = context.lake.blocks([landing.rejected_path for landing in landings], REJECTED_EVENTS)
        landing_partitions = [*before["landing_partition"], *(landing.landing_partition for landing in landings)]
        rejected = warehouse.load_rejected(connection, rows, landing_partitions, run_id)
        counts = {partition: sessions.rows.get(partition, 0) for partition in sessionized.partitions}
    return Rebuilt(tuple(landings), tuple(versions), counts, changed, rejected, linked)
