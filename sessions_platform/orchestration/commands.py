"""What `sessions-platform ingest`, `rebuild` and `rejected replay` do, with the jobs that the UI starts too."""

import hashlib
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sessions_platform.journey.mended import MendedRow, read_file
from sessions_platform.journey.replay import Replay, replay
from sessions_platform.journey.status import status
from sessions_platform.journey.workspace import Workspace, open_workspaces
from sessions_platform.mistakes import Mistake, RunFailed
from sessions_platform.orchestration.jobs import (
    job_name,
    landing_ranges,
    newest_partition,
    session_ranges,
)
from sessions_platform.orchestration.runs import Runner, runner
from sessions_platform.settings import Settings
from sessions_platform.sources.files import FileSource
from sessions_platform.storage.ledger import Superseded

_COMMAND_LINE = "command line"


def ingest_files(settings: Settings, name: str, files: Sequence[Path], partition: str | None) -> dict[str, Any]:
    """Ingest files into a stream; its status afterwards. The same bytes again change nothing."""
    (workspace,) = open_workspaces(settings, [name])
    partition = _landing_partition(workspace, partition)
    landed = [place_file(workspace, file, partition) for file in files]
    _claim(workspace, landed, partition)
    with runner(settings) as runs:
        run_what_waits(workspace, runs)
    return {"landed": [str(path) for path in landed], **status(workspace)}


def rebuild_stream(settings: Settings, name: str) -> dict[str, Any]:
    """Make everything of a stream anew, beside what stands; its status afterwards."""
    (workspace,) = open_workspaces(settings, [name])
    with runner(settings) as runs:
        runs.run(job_name(workspace.stream, "rebuild"))
    return status(workspace)


def replay_file(settings: Settings, file: Path, stream: str | None, *, dry_run: bool) -> dict[str, Replay]:
    """Replay mended rows, take in what then waits and refresh what it touches; what became of them, by stream."""
    of_streams: dict[str, list[MendedRow]] = {}
    for name, rows in read_file(file).items():
        if name is None and stream is None:
            raise Mistake(f"{rows[0].where}: it names no stream. Mend: keep the key `stream`, or give --stream.")
        of_streams.setdefault(name or str(stream), []).extend(rows)
    if others := of_streams.keys() - {stream or name for name in of_streams}:
        raise Mistake(f"{file}: it has rows of {min(others)}. Mend: leave --stream out, or these rows.")
    workspaces = {workspace.stream.name: workspace for workspace in open_workspaces(settings, list(of_streams))}
    try:
        run = f"{_COMMAND_LINE} {uuid.uuid4()}"
        done = {name: replay(workspaces[name], rows, run, dry_run=dry_run) for name, rows in of_streams.items()}
    except Superseded as overtaken:
        raise RunFailed(str(overtaken)) from None
    waiting = [workspaces[name] for name, replayed in done.items() if replayed.landing_partitions and not dry_run]
    if waiting:
        with runner(settings) as runs:
            for workspace in waiting:
                run_what_waits(workspace, runs)
    return done


def run_what_waits(workspace: Workspace, runs: Runner) -> None:
    """Take in all landing partitions that wait, then refresh all session partitions that wait."""
    for partitions in landing_ranges(workspace):
        runs.run(job_name(workspace.stream, "ingest_events"), partitions)
    for partitions in session_ranges(workspace):
        runs.run(job_name(workspace.stream, "refresh_sessions"), partitions)


def place_file(workspace: Workspace, file: Path, partition: str) -> Path:
    """Copy a file to where its stream lands; under a name that tells its content, so that none replaces another.

    Bytes that the stream has taken in before are left where they are. Raises Mistake where it can't be read.
    """
    source = workspace.source
    if not isinstance(source, FileSource):
        raise Mistake(f"stream {workspace.stream.name} takes in no files")
    digest = _digest(file)
    for known in workspace.ledger.files():
        if known.digest == digest and source.path_of(known.uri).exists():
            return source.path_of(known.uri)
    stem, dot, suffixes = file.name.lstrip(".").partition(".")
    place = source.place_for(f"{stem}-{digest[:12]}{dot}{suffixes}", partition)
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_name(f".{uuid.uuid4().hex}.tmp")
        shutil.copyfile(file, unfinished)
        unfinished.replace(place)
    return place


def _claim(workspace: Workspace, landed: Sequence[Path], partition: str) -> None:
    """Files whose place tells no date belong to the partition that they were ingested for."""
    source = workspace.source
    assert isinstance(source, FileSource)
    undated = [file.uri for file in source.find() if file.landing_partition is None]
    workspace.ledger.claim([uri for uri in undated if source.path_of(uri) in set(landed)], partition)


def _landing_partition(workspace: Workspace, partition: str | None) -> str:
    calendar = workspace.stream.landing_calendar
    newest = newest_partition(calendar)
    if partition is None:
        return newest
    try:
        known = calendar.key_of(calendar.window(partition).start) == partition
    except ValueError:
        known = False
    first = calendar.first_key
    if not known or not first <= partition <= newest:
        raise Mistake(
            f"--partition: there is no landing partition {partition!r}. Mend: name one from {first} to {newest}."
        )
    return partition


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise Mistake(f"{file}: it can't be read: {error.strerror}. Mend: name a file that is there.") from None
