"""Housekeeping removes what nothing needs any more, after its retention, and nothing else."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from sessions_platform.errors import UserError
from sessions_platform.operations import clean_up as clean_up_module
from sessions_platform.operations.clean_up import CleanUp, clean_up
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import lock
from sessions_platform_tests.contexts import line
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, load, put, run_pending, stale, table
from sessions_platform_tests.streams import DAY_ONE

pytestmark = pytest.mark.slow

MONTH = timedelta(days=30)
NOTHING = CleanUp(0, 0, 0, 0, 0)


def write(context: StreamContext, events: int, day: int = 1) -> None:
    """A landing file with so many events of one user, replacing the file before; and everything brought up to date."""
    at = DAY_ONE + timedelta(days=day - 1)
    lines = [line("ann", at + timedelta(minutes=number), f"{day}-{number}") for number in range(events)]
    put(context, f"file{day}", [*lines, b"no event"], f"2026-01-{day:02}")


def age(context: StreamContext, by: timedelta = MONTH) -> None:
    """Make everything that the stream has in lake, ledger and warehouse older."""
    for path in (folder_of(context.lake) / context.stream.name).rglob("*"):
        if path.is_file():
            before = path.stat().st_mtime - by.total_seconds()
            os.utime(path, (before, before))
    with context.database.transaction() as connection:
        for text in (
            "update sessions_platform.landing_versions set published_at = published_at - %s where stream = %s",
            "update sessions_platform.session_versions set written_at = written_at - %s where stream = %s",
            "update sessions_platform.session_versions set loaded_at = loaded_at - %s where stream = %s",
            "update sessions_platform.landing_files set read_at = read_at - %s where stream = %s",
        ):
            connection.execute(text, [by, context.stream.name])
        changes = context.tables.session_changes.identifier
        connection.execute(b"update " + changes.as_bytes() + b" set changed_at = changed_at - %s", [by])


def files(context: StreamContext) -> set[str]:
    return set(context.lake.filesystem.list(context.stream.name))


@pytest.fixture
def superseded(context: StreamContext) -> StreamContext:
    """Three states of a landing file and its sessions, the last of which is current; all of them a month old."""
    for events in (3, 2, 4):
        write(context, events)
        run_pending(context)
    age(context)
    return context


def test_superseded_files_and_versions_are_removed_and_current_ones_stay(superseded: StreamContext) -> None:
    before = files(superseded)
    dry = clean_up(superseded, dry_run=True)
    assert files(superseded) == before
    assert dry.files == 8  # of two superseded states: raw, accepted, rejected and sessionized events
    assert clean_up(superseded) == dry
    assert len(before - files(superseded)) == dry.files
    assert clean_up(superseded) == NOTHING
    assert [row["event_count"] for row in table(superseded)] == [4]
    assert rebuild(superseded, RUN, lambda _: None).changed.changed == 0  # from the files that are left


def test_rows_about_superseded_versions_are_removed_and_current_ones_stay(superseded: StreamContext) -> None:
    age(superseded, timedelta(days=100))
    dry = clean_up(superseded, dry_run=True)
    assert dry.versions == 4  # two of the landing partition, two of the session partition
    assert clean_up(superseded) == dry
    assert not pending_landing_partitions(superseded, None)
    assert not stale(superseded)
    assert [version.rows for version in superseded.ledger.newest_sessions()] == [4]
    assert [landing.accepted for landing in superseded.ledger.landings()] == [4]
    assert clean_up(superseded) == NOTHING


def test_what_was_superseded_within_the_retention_stays_for_readers_and_backups(context: StreamContext) -> None:
    for events in (3, 2):
        write(context, events)
        run_pending(context)
        age(context)
    write(context, 4)
    run_pending(context)  # a moment ago, the second state was superseded
    assert clean_up(context).files == 4  # of the first state alone, though the second is a month old too
    assert clean_up(context, now=datetime.now(UTC) + timedelta(days=365)).files == 0


def test_raw_rows_that_were_read_again_but_never_published_stay_for_the_retention(context: StreamContext) -> None:
    write(context, 3)
    ingest(context, ["2026-01-01"], RUN)
    age(context)
    write(context, 4)
    ingest(context, ["2026-01-01"], RUN)
    assert clean_up(context).files == 0
    age(context)
    assert clean_up(context).files == 1


def test_written_sessions_that_are_not_loaded_yet_stay(superseded: StreamContext) -> None:
    write(superseded, 5)
    ingest_and_publish(superseded, "2026-01-01")
    sessionize_partitions(superseded, ["2026-01-01"], RUN)
    age(superseded)
    clean_up(superseded)
    load(superseded, "2026-01-01")
    assert [row["event_count"] for row in table(superseded)] == [5]


def test_files_of_a_run_in_progress_stay(superseded: StreamContext) -> None:
    clean_up(superseded)
    with superseded.lake.filesystem.draft(superseded.folder("events", "2026-01-01")) as draft:
        draft.write_bytes(b"not finished")
        stored = superseded.lake.write(superseded.folder("events", "2026-01-01"), [], superseded.event_columns)
        assert clean_up(superseded) == NOTHING
        assert draft.exists()
        assert superseded.lake.size(stored.path) > 0


def test_what_killed_processes_left_goes_after_the_retention(superseded: StreamContext) -> None:
    clean_up(superseded)
    folder = folder_of(superseded.lake) / superseded.folder("events", "2026-01-01")
    (folder / "left.tmp").write_bytes(b"draft")
    superseded.lake.write(superseded.folder("events", "2026-01-01"), [], superseded.event_columns)
    age(superseded)
    removed = clean_up(superseded)
    assert (removed.files, removed.drafts) == (1, 1)
    assert not (folder / "left.tmp").exists()


def test_quarantined_files_stay(superseded: StreamContext) -> None:
    path = superseded.lake.quarantine(f"{superseded.stream.name}/quarantined_files", [b"bytes"])
    age(superseded)
    clean_up(superseded)
    assert superseded.lake.size(path) == 5


def test_changes_of_sessions_stay_unless_the_stream_limits_them(open_context: Callable[..., StreamContext]) -> None:
    unlimited, limited = open_context(), open_context(retention={"session_changes": "10d"})
    for context in (unlimited, limited):
        for events in (3, 2):
            write(context, events)
            run_pending(context)
        age(context)
        write(context, 4)
        run_pending(context)
    kept = len(table(unlimited, "session_changes"))
    assert clean_up(unlimited).changes == 0
    dry = clean_up(limited, dry_run=True)
    assert clean_up(limited).changes == dry.changes > 0
    assert len(table(limited, "session_changes")) == kept - dry.changes


KILLED = """
import os, pickle, signal, sys
from sessions_platform.operations.clean_up import clean_up
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.lake.filesystem import LocalFilesystem

stream, settings, moment = pickle.loads(sys.stdin.buffer.read())
delete = LocalFilesystem.delete
removed = 0

def deleting(filesystem, path):
    global removed
    if removed == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    delete(filesystem, path)
    removed += 1

LocalFilesystem.delete = deleting
clean_up(StreamContext.open(stream, settings, object()))
"""


@pytest.mark.parametrize("moment", [0, 1, 7])
def test_a_killed_clean_up_is_finished_by_the_next_one(
    superseded: StreamContext, settings: Settings, moment: int
) -> None:
    superseded_before = clean_up(superseded, dry_run=True).files
    program = [sys.executable, "-c", KILLED]
    killed = subprocess.run(program, input=pickle.dumps((superseded.stream, settings, moment)), check=False)
    assert killed.returncode == -signal.SIGKILL
    with superseded.database.transaction() as connection:  # the server has noticed the death
        lock(connection, f"sessions_platform/{superseded.stream.name}/clean_up")
    assert clean_up(superseded).files == superseded_before - moment
    assert clean_up(superseded) == NOTHING
    assert [row["event_count"] for row in table(superseded)] == [4]


def test_a_second_clean_up_at_the_same_time_is_refused(context: StreamContext) -> None:
    context.prepare()
    with (
        context.database.alone(f"sessions_platform/{context.stream.name}/clean_up"),
        pytest.raises(UserError, match="another clean-up"),
    ):
        clean_up(context)


def test_a_host_whose_clock_is_ahead_removes_no_file_that_a_run_is_about_to_publish(
    context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(context, 2)
    run_pending(context)
    context.lake.write(context.folder("events", "2026-01-01"), [], context.event_columns)  # by a run on another host

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(days=400)

    monkeypatch.setattr(clean_up_module, "datetime", Ahead)
    assert clean_up(context) == NOTHING
