"""events → sessionized_events: each session partition from accepted events alone."""

from collections.abc import Sequence

import polars as pl

from sessions_platform.contracts.calendar import Window, contiguous_runs
from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.journey.workspace import Workspace
from sessions_platform.storage.ledger import SessionVersion, Snapshot
from sessions_platform.transforms.sessionize import Sessionized, sessionize_window


def sessionize_partitions(
    workspace: Workspace, session_partitions: Sequence[str], run_id: str
) -> dict[str, SessionVersion]:
    """Compute and write session partitions from one snapshot; neighbours in one pass. They are not yet loaded."""
    snapshot = workspace.ledger.snapshot()
    calendar = workspace.stream.session_calendar
    rows: list[dict[str, object]] = []
    for run in contiguous_runs(list(session_partitions), calendar):
        window = Window(calendar.window(run[0]).start, calendar.window(run[-1]).end)
        result = sessionize_window(window, workspace.reader(snapshot), workspace.stream)
        of_partition = result.events.partition_by("session_partition", as_dict=True)
        empty = result.events.clear()
        for partition in run:
            events = of_partition.get((partition,), empty)
            rows.append(_write(workspace, partition, events, result, snapshot, run_id))
    workspace.ledger.write_sessions(rows)
    written = {version.session_partition: version for version in workspace.ledger.newest_sessions(session_partitions)}
    return {partition: written[partition] for partition in session_partitions}


def _write(
    workspace: Workspace,
    partition: str,
    events: pl.DataFrame,
    result: Sessionized,
    snapshot: Snapshot,
    run_id: str,
) -> dict[str, object]:
    here = pl.col("session_partition") == partition
    folder = workspace.folder("sessionized_events", partition)
    stored = workspace.lake.write(folder, [events], sessionized_columns(workspace.stream))
    left_out = result.left_out.filter(here)
    return {
        "session_partition": partition,
        "path": stored.path,
        "rows": stored.rows,
        "bytes": stored.bytes,
        "duplicates_across": left_out["duplicates_across"].sum(),
        "conflicts_across": left_out["conflicts_across"].sum(),
        "first_event": events["event_timestamp"].min(),
        "last_event": events["event_timestamp"].max(),
        "longest_chain_seconds": result.longest_chains.filter(here)["seconds"].max() or 0.0,
        "snapshot": snapshot.version,
        "policy_version": workspace.stream.policy_version,
        "run_id": run_id,
    }
