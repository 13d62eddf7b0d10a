"""The commands that are disturbed, on a small stream: ingest on an empty database, ingest, replay and rebuild.

Besides, on a stream with a growing file: ingesting what was appended to it; and erase, clean-up, repair and deliver.

Each is what the command line does, through the same functions, without Dagster's runs, which take five times as long;
`test_commands.py` disturbs the real ones. Run as `python -m sessions_platform_tests.faults.workload COMMAND POINT
[SIGNAL]`, with the SESSIONS_… variables of a trial: the process sends itself the signal at that commit point, and with
point 0 prints the names of all points. Not here: the stream's files and what they should become (`trial.py`).
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sessions_platform.contracts.calendar import newest_partition
from sessions_platform.contracts.targets import ParquetTarget
from sessions_platform.errors import UserError
from sessions_platform.operations import repaired_rows
from sessions_platform.operations.clean_up import clean_up
from sessions_platform.operations.dead_letters import Filter, exported, find_rejected_records
from sessions_platform.operations.erase import erase
from sessions_platform.operations.landing_files import place_files
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.replay import replay
from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.operations.verify import verify
from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.pipeline.deliver import deliver
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.settings import Settings
from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform.storage.postgres.database import is_transient
from sessions_platform.storage.warehouses.registry import open_target
from sessions_platform_tests.faults.commit_points import CommitPoints
from sessions_platform_tests.faults.defects import plant

STREAM = "shop"
RUN = "a-run"
_ATTEMPTS = 6  # as many as Dagster's retry policy makes of a step


def first(context: StreamContext, _folder: Path) -> None:
    """Ingest what has landed; on an empty database this makes the tables, too."""
    _run_pending(context)


def ingest(context: StreamContext, folder: Path) -> None:
    """Put the new files into the landing folder, and ingest them."""
    place_files(context, sorted((folder / "new").iterdir()), "2026-01-03")
    _run_pending(context)


def replay_rejected(context: StreamContext, folder: Path) -> None:
    """Replay the rejected rows that can be repaired."""
    file = folder / "repaired.ndjson"
    if not file.exists():
        lines = "\n".join(exported(find_rejected_records(context, Filter())))
        draft = file.with_suffix(".draft")
        draft.write_text(lines.replace('\\"user\\": null', '\\"user\\": \\"ann\\"'))
        draft.replace(file)
    for rows in repaired_rows.read_file(file).values():
        replay(context, rows, RUN)
    _run_pending(context)


def rebuild_all(context: StreamContext, _folder: Path) -> None:
    """Compute everything anew, and swap it in. A rebuild itself does not look at landing files."""
    _run_pending(context)
    rebuild(context, RUN, lambda _: None)


def grow(context: StreamContext, _folder: Path) -> None:
    """Ingest what was appended to a growing file; then the partition that has given up an unfinished line."""
    newest = newest_partition(context.stream.landing_calendar)
    while pending := pending_landing_partitions(context, newest):
        run_pipeline(context, pending, RUN)


def erase_ann(context: StreamContext, _folder: Path) -> None:
    """Erase a user, and ingest the landing files again, which still have her rows."""
    erase(context, ["ann"])
    _run_pending(context)


def remove_leftovers(context: StreamContext, _folder: Path) -> None:
    """Clean up, as if all that is not needed were older than the retention."""
    clean_up(context, now=datetime.now(UTC) + timedelta(days=365))


def repair_all(context: StreamContext, _folder: Path) -> None:
    """Make the lake files anew that are missing or damaged."""
    verified = verify(context, RUN, deep=True, repairing=True)
    if verified.problems:
        raise UserError(f"{verified.problems}")


def deliver_all(context: StreamContext, folder: Path) -> None:
    """Deliver sessions and their events to a folder of Parquet files."""
    tables = ["sessions", "sessionized_events"]
    config = ParquetTarget.model_validate({"path": str(folder / "delivered"), "tables": tables})
    stream = context.stream.model_copy(update={"targets": {"files": config}})
    deliver(replace(context, stream=stream), open_target(stream, "files"), RUN)


COMMANDS: dict[str, Callable[[StreamContext, Path], None]] = {
    "first": first,
    "ingest": ingest,
    "replay": replay_rejected,
    "rebuild": rebuild_all,
}
# Which need a stream of their own, or something to do.
_OTHERS = {"grow": grow, "erase": erase_ann, "clean_up": remove_leftovers, "repair": repair_all, "deliver": deliver_all}


def run(command: str, context: StreamContext, folder: Path) -> None:
    """Run a command to its end; what Dagster's steps would retry is tried again."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            (COMMANDS | _OTHERS)[command](context, folder)
            return
        except Exception as error:
            if attempt == _ATTEMPTS or not (is_transient(error) or isinstance(error, StaleWriteError)):
                raise
            time.sleep(0.1 * 2**attempt)


def _run_pending(context: StreamContext) -> None:
    run_pipeline(context, pending_landing_partitions(context), RUN)


def main(command: str, point: int, number: int) -> None:
    """Run a command in this process, with a signal at a point."""
    points = CommitPoints(point, number)
    points.watch()
    if defect := os.environ.get("FAULT_DEFECT"):
        plant(defect)
    try:
        (context,) = open_contexts(Settings.from_environment(), [STREAM])
        run(command, context, Path(os.environ["TRIAL"]))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    sys.stdout.write(json.dumps(points.names))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 9)
