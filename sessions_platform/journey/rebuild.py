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
from sessions_platform.contracts.raw import RAW_EVENTS
from sessions_platform.contracts.rejections import REJECTED_EVENTS
from sessions_platform.journey.ahead import ahead
from sessions_platform.journey.judge import Judged, judge_partition, ledger_row
from sessions_platform.journey.load import proven
from sessions_platform.journey.references import References, read_references
from sessions_platform.journey.sessionize import sessionize_partitions
from sessions_platform.journey.succession import find_successors
from sessions_platform.journey.workspace import Workspace
from sessions_platform.mistakes import Mistake
from sessions_platform.storage.lake import Dataset
from sessions_platform.storage.ledger import KnownFile, LandingVersion, Ledger, SessionVersion
from sessions_platform.storage.warehouse import Loaded, Warehouse

_ATTEMPTS = 5
_PARTITIONS_AT_ONCE = 100


class Proof(Protocol):
    """Sees everything before the switch; what it raises stops the rebuild, and what stands goes on standing."""

    def judged(self, workspace: Workspace, judged: Judged, /) -> None: ...

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


def rebuild(workspace: Workspace, run_id: str, proof: Proof, tell: Callable[[str], None]) -> Rebuilt:
    """Rebuild a stream as its file has it now; `tell` hears how far it is.

    Readers see the old state until all of the new one is there. Landing files that are read
    meanwhile make it begin anew. Raises Mistake where somebody rebuilds the stream already.
    """
    name = workspace.stream.name
    with workspace.database.alone(f"sessions_platform/{name}/rebuild") as is_alone:
        if not is_alone:
            raise Mistake(f"{name}: it is being rebuilt already. Mend: wait until that has ended.")
        for _ in range(_ATTEMPTS):
            if rebuilt := _attempt(workspace, run_id, proof, tell):
                return rebuilt
            tell("landing files were read meanwhile: once more")
    raise Mistake(
        f"{name}: landing files were read {_ATTEMPTS} times while it was rebuilt. "
        f"Mend: switch its sensors and schedules off until it is done."
    )


def _attempt(workspace: Workspace, run_id: str, proof: Proof, tell: Callable[[str], None]) -> Rebuilt | None:
    """None where the landing files are no longer those that it began with."""
    standing = Ledger(workspace.database, workspace.stream.name)
    standing.beside.forget()  # of one that was killed
    beside = replace(workspace, ledger_beside=True)
    files = standing.files()
    began_with = standing.began_with()
    belongs = {file.uri: _landing_partition(file, workspace, began_with) for file in files if not file.is_replay}
    roots = {mend.uri: mend.root_uri for mend in standing.mends()}
    for file in files:
        _adopt(beside, standing, file, belongs[roots.get(file.uri, file.uri)])
    landing_partitions = sorted({file.landing_partition for file in beside.ledger.files() if file.path is not None})
    tell(f"{len(landing_partitions)} landing partitions to judge")
    references = read_references(beside)
    for partition in landing_partitions:
        _judge(beside, partition, references, run_id, proof)
    partitions = _session_partitions(beside)
    tell(f"{len(partitions)} session partitions to make")
    for first in range(0, len(partitions), _PARTITIONS_AT_ONCE):
        sessionize_partitions(beside, partitions[first : first + _PARTITIONS_AT_ONCE], run_id)
    sessionized = beside.sessionized_events(partitions)
    proof.sessionized(sessionized)
    tell("to switch")
    return _switch(workspace, standing, beside, files, sessionized, run_id, proof)


def _landing_partition(file: KnownFile, workspace: Workspace, began_with: dict[str, str]) -> str:
    """Where a file belongs under the stream's calendar.

    Its name tells, or else when it was last read, within the partition that it belonged to: so no
    event in it can be from after its partition that was not so before.
    """
    calendar = workspace.stream.landing_calendar
    if began_with.get("landing.partition") == calendar.cadence.value:
        return file.landing_partition
    if told := workspace.source.partition_of(file.uri):
        return told
    old = replace(calendar, cadence=Cadence(began_with["landing.partition"])).window(file.landing_partition)
    seen = min(max(file.seen_at, old.start), old.end - timedelta(microseconds=1))
    return max(calendar.key_of(seen), calendar.first_key)


def _adopt(beside: Workspace, standing: Ledger, file: KnownFile, landing_partition: str) -> None:
    """Raw rows are copied only where they come to belong to another landing partition."""
    path = file.path
    if path is not None and landing_partition != file.landing_partition:
        folder = beside.folder("raw_events", landing_partition)
        path = beside.lake.write(folder, _moved(beside, path, landing_partition), RAW_EVENTS).path
    beside.ledger.adopt(file, standing, landing_partition, path)


def _moved(beside: Workspace, path: str, landing_partition: str) -> Iterator[pl.DataFrame]:
    for block in beside.lake.blocks([path], RAW_EVENTS):
        yield block.with_columns(landing_partition=pl.lit(landing_partition))


def _judge(beside: Workspace, partition: str, references: References, run_id: str, proof: Proof) -> None:
    judged = judge_partition(beside, partition, beside.raw_events([partition]), references)
    proof.judged(beside, judged)
    with beside.database.transaction() as connection:
        beside.ledger.lock(connection)
        beside.ledger.publish(connection, ledger_row(beside, judged, run_id), touched=())


def _session_partitions(beside: Workspace) -> list[str]:
    """Those that hold any accepted event: every session began in one of them."""
    paths = [landing.events_path for landing in beside.ledger.landings()]
    events = beside.lake.scan(paths, beside.event_columns)
    return events.select(beside.stream.session_calendar.key_expr().unique().sort()).collect().to_series().to_list()


def _switch(
    workspace: Workspace,
    standing: Ledger,
    beside: Workspace,
    files: Sequence[KnownFile],
    sessionized: Dataset,
    run_id: str,
    proof: Proof,
) -> Rebuilt | None:
    """Put the rebuilt stream in the place of the standing one, in one transaction."""
    warehouse, ledger = Warehouse(workspace.stream), beside.ledger
    landings, versions = ledger.landings(), ledger.newest_sessions()
    with (
        closing(ahead(proven(workspace.stream, sessionized, proof.sessions))) as frames,
        warehouse.gathered(frames) as sessions,
        workspace.database.transaction() as connection,
    ):
        standing.lock(connection)
        ledger.lock(connection)
        if not standing.holds(connection, files):
            return None
        warehouse.tables.retype(connection)
        warehouse.tables.prepare(connection)
        before = warehouse.partitions(connection)
        find = partial(find_successors, beside, landings, standing.loaded_sessions(connection), versions)
        partitions = list(dict.fromkeys([*before["session_partition"], *sessionized.partitions]))
        changed = warehouse.load_sessions(connection, sessions, partitions, run_id, find)
        ledger.acknowledge(connection, versions)
        standing.replace_by(connection, ledger)
        rows = workspace.lake.blocks([landing.rejected_path for landing in landings], REJECTED_EVENTS)
        judged = [landing.landing_partition for landing in landings]
        rejected = warehouse.load_rejected(connection, rows, [*before["landing_partition"], *judged], run_id)
        counts = {partition: sessions.rows.get(partition, 0) for partition in sessionized.partitions}
    return Rebuilt(tuple(landings), tuple(versions), counts, changed, rejected)
