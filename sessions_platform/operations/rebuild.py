"""Make everything of a stream anew from its raw rows, beside what stands, and switch at once.

For what can't be repaired in place: under another cadence or timezone partition keys mean
other times, and a column of another type makes another table.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Protocol

import polars as pl

from sessions_platform.contracts.calendar import Cadence
from sessions_platform.contracts.polars_types import key_expr
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.lineage import find_merged_into
from sessions_platform.pipeline.load import proven
from sessions_platform.pipeline.reference_data import References, read_references
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.pipeline.validate import ValidatedPartition, ledger_row, validate_partition
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.ledger.ledger import KnownFile, LandingVersion, Ledger, SessionVersion
from sessions_platform.storage.warehouses.postgres.loader import Loaded, Warehouse

_ATTEMPTS = 5
_PARTITIONS_AT_ONCE = 100


class Proof(Protocol):
    """Sees everything before the switch; what it raises stops the rebuild, and what stands goes on standing."""

    def validated(self, context: StreamContext, validated: ValidatedPartition, /) -> None: ...

    def sessionized(self, events: Dataset, /) -> None: ...

    def sessions(self, partitions: str, rows: pl.DataFrame, /) -> None: ...


@dataclass(frozen=True)
class Rebuilt:
    """What stands now; `sessions` counts those of each session partition."""

    landings: tuple[LandingVersion, ...]
    sessionized: tuple[SessionVersion, ...]
    sessions: dict[str, int]
    changed: Loaded
    rejected: Loaded


def rebuild(context: StreamContext, run_id: str, proof: Proof, tell: Callable[[str], None]) -> Rebuilt:
    """Rebuild a stream as its file has it now; `tell` hears how far it is.

    Readers see the old state until all of the new one is there. Landing files that are read
    meanwhile make it begin anew. Raises Mistake where somebody rebuilds the stream already.
    """
    name = context.stream.name
    with context.database.alone(f"sessions_platform/{name}/rebuild") as is_alone:
        if not is_alone:
            raise UserError(f"{name}: it is being rebuilt already. Fix: wait until that has ended.")
        for _ in range(_ATTEMPTS):
            if rebuilt := _attempt(context, run_id, proof, tell):
                return rebuilt
            tell("landing files were read meanwhile: once more")
    raise UserError(
        f"{name}: landing files were read {_ATTEMPTS} times while it was rebuilt. "
        f"Fix: switch its sensors and schedules off until it is done."
    )


def _attempt(context: StreamContext, run_id: str, proof: Proof, tell: Callable[[str], None]) -> Rebuilt | None:
    """None where the landing files are no longer those that it began with."""
    standing = Ledger(context.database, context.stream.name)
    standing.shadow.delete_stream()  # of one that was killed
    shadow = replace(context, ledger_shadow=True)
    files = standing.files()
    recorded_calendars = standing.recorded_calendars()
    belongs = {file.uri: _landing_partition(file, context, recorded_calendars) for file in files if not file.is_replay}
    roots = {repair.uri: repair.original_uri for repair in standing.repairs()}
    for file in files:
        _adopt(shadow, standing, file, belongs[roots.get(file.uri, file.uri)])
    landing_partitions = sorted({file.landing_partition for file in shadow.ledger.files() if file.path is not None})
    tell(f"{len(landing_partitions)} landing partitions to judge")
    references = read_references(shadow)
    for partition in landing_partitions:
        _judge(shadow, partition, references, run_id, proof)
    partitions = _session_partitions(shadow)
    tell(f"{len(partitions)} session partitions to make")
    for first in range(0, len(partitions), _PARTITIONS_AT_ONCE):
        sessionize_partitions(shadow, partitions[first : first + _PARTITIONS_AT_ONCE], run_id)
    sessionized = shadow.sessionized_events(partitions)
    proof.sessionized(sessionized)
    tell("to switch")
    return _switch(context, standing, shadow, files, sessionized, run_id, proof)


def _landing_partition(file: KnownFile, context: StreamContext, recorded_calendars: dict[str, str]) -> str:
    """Where a file belongs under the stream's calendar.

    Its name tells, or else when it was last read, within the partition that it belonged to: so no
    event in it can be from after its partition that was not so before.
    """
    calendar = context.stream.landing_calendar
    if recorded_calendars.get("landing.partition") == calendar.cadence.value:
        return file.landing_partition
    if told := context.source.partition_of(file.uri):
        return told
    old = replace(calendar, cadence=Cadence(recorded_calendars["landing.partition"])).window(file.landing_partition)
    seen = min(max(file.seen_at, old.start), old.end - timedelta(microseconds=1))
    return max(calendar.key_of(seen), calendar.first_key)


def _adopt(shadow: StreamContext, standing: Ledger, file: KnownFile, landing_partition: str) -> None:
    """Raw rows are copied only where they come to belong to another landing partition."""
    path = file.path
    if path is not None and landing_partition != file.landing_partition:
        folder = shadow.folder("raw_events", landing_partition)
        path = shadow.lake.write(folder, _moved(shadow, path, landing_partition), RAW_EVENTS).path
    shadow.ledger.transfer(file, standing, landing_partition, path)


def _moved(shadow: StreamContext, path: str, landing_partition: str) -> Iterator[pl.DataFrame]:
    for block in shadow.lake.blocks([path], RAW_EVENTS):
        yield block.with_columns(landing_partition=pl.lit(landing_partition))


def _judge(shadow: StreamContext, partition: str, references: References, run_id: str, proof: Proof) -> None:
    validated = validate_partition(shadow, partition, shadow.raw_events([partition]), references)
    proof.validated(shadow, validated)
    with shadow.database.transaction() as connection:
        shadow.ledger.lock(connection)
        shadow.ledger.publish(connection, ledger_row(shadow, validated, run_id), affected=())


def _session_partitions(shadow: StreamContext) -> list[str]:
    """Those that hold any accepted event: every session began in one of them."""
    paths = [landing.events_path for landing in shadow.ledger.landings()]
    events = shadow.lake.scan(paths, shadow.event_columns)
    return events.select(key_expr(shadow.stream.session_calendar).unique().sort()).collect().to_series().to_list()


def _switch(
    context: StreamContext,
    standing: Ledger,
    shadow: StreamContext,
    files: Sequence[KnownFile],
    sessionized: Dataset,
    run_id: str,
    proof: Proof,
) -> Rebuilt | None:
    """Put the rebuilt stream in the place of the standing one, in one transaction."""
    warehouse, ledger = Warehouse(context.stream), shadow.ledger
    landings, versions = ledger.landings(), ledger.newest_sessions()
    with (
        closing(prefetch(proven(context.stream, sessionized, proof.sessions))) as frames,
        warehouse.staged_sessions(frames) as sessions,
        context.database.transaction() as connection,
    ):
        standing.lock(connection)
        ledger.lock(connection)
        if not standing.contains(connection, files):
            return None
        warehouse.tables.retype(connection)
        warehouse.tables.prepare(connection)
        before = warehouse.queries.partitions(connection)
        find = partial(find_merged_into, shadow, landings, standing.loaded_sessions(connection), versions)
        partitions = list(dict.fromkeys([*before["session_partition"], *sessionized.partitions]))
        changed = warehouse.load_sessions(connection, sessions, partitions, run_id, find)
        ledger.mark_loaded(connection, versions)
        standing.replace_by(connection, ledger)
        rows = context.lake.blocks([landing.rejected_path for landing in landings], REJECTED_EVENTS)
        validated = [landing.landing_partition for landing in landings]
        rejected = warehouse.load_rejected(connection, rows, [*before["landing_partition"], *validated], run_id)
        counts = {partition: sessions.rows.get(partition, 0) for partition in sessionized.partitions}
    return Rebuilt(tuple(landings), tuple(versions), counts, changed, rejected)
