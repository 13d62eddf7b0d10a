"""What `sessions-platform ingest`, `rebuild` and `rejected replay` do, with the jobs that the UI starts too."""

import hashlib
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sessions_platform.errors import RunFailedError, UserError
from sessions_platform.operations.repaired_rows import RepairedRow, read_file
from sessions_platform.operations.replay import Replay, replay
from sessions_platform.operations.status import status
from sessions_platform.orchestration.jobs import (
    job_name,
    landing_ranges,
    newest_partition,
    session_ranges,
)
from sessions_platform.orchestration.runs import Runner, runner
from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.settings import Settings
from sessions_platform.sources.files.source import FileSource
from sessions_platform.storage.ledger.ledger import StaleWriteError

_COMMAND_LINE = "command line"


def ingest_files(settings: Settings, name: str, files: Sequence[Path], partition: str | None) -> dict[str, Any]:
    """Ingest files into a stream; its status afterwards. The same bytes again change nothing."""
    (stream_context,) = open_contexts(settings, [name])
    partition = _landing_partition(stream_context, partition)
    ingested = [place_file(stream_context, file, partition) for file in files]
    _claim(stream_context, ingested, partition)
    with runner(settings) as runs:
        run_pending(stream_context, runs)
    return {"landed": [str(path) for path in ingested], **status(stream_context)}


def rebuild_stream(settings: Settings, name: str) -> dict[str, Any]:
    """Make everything of a stream anew, beside what stands; its status afterwards."""
    (stream_context,) = open_contexts(settings, [name])
    with runner(settings) as runs:
        runs.run(job_name(stream_context.stream, "rebuild"))
    return status(stream_context)


def replay_file(settings: Settings, file: Path, stream: str | None, *, dry_run: bool) -> dict[str, Replay]:
    """Replay mended rows, take in what then waits and refresh what it touches; what became of them, by stream."""
    of_streams: dict[str, list[RepairedRow]] = {}
    for name, rows in read_file(file).items():
        if name is None and stream is None:
            raise UserError(f"{rows[0].where}: it names no stream. Fix: keep the key `stream`, or give --stream.")
        of_streams.setdefault(name or str(stream), []).extend(rows)
    if others := of_streams.keys() - {stream or name for name in of_streams}:
        raise UserError(f"{file}: it has rows of {min(others)}. Fix: leave --stream out, or these rows.")
    contexts = {
        stream_context.stream.name: stream_context for stream_context in open_contexts(settings, list(of_streams))
    }
    try:
        run = f"{_COMMAND_LINE} {uuid.uuid4()}"
        done = {name: replay(contexts[name], rows, run, dry_run=dry_run) for name, rows in of_streams.items()}
    except StaleWriteError as overtaken:
        raise RunFailedError(str(overtaken)) from None
    pending = [contexts[name] for name, replayed in done.items() if replayed.landing_partitions and not dry_run]
    if pending:
        with runner(settings) as runs:
            for stream_context in pending:
                run_pending(stream_context, runs)
    return done


def run_pending(stream_context: StreamContext, runs: Runner) -> None:
    """Take in all landing partitions that wait, then refresh all session partitions that wait."""
    for partitions in landing_ranges(stream_context):
        runs.run(job_name(stream_context.stream, "ingest_events"), partitions)
    for partitions in session_ranges(stream_context):
        runs.run(job_name(stream_context.stream, "refresh_sessions"), partitions)


def place_file(stream_context: StreamContext, file: Path, partition: str) -> Path:
    """Copy a file to where its stream lands; under a name that tells its content, so that none replaces another.

    Bytes that the stream has taken in before are left where they are. Raises Mistake where it can't be read.
    """
    source = stream_context.source
    if not isinstance(source, FileSource):
        raise UserError(f"stream {stream_context.stream.name} takes in no files")
    stream_context.prepare()
    digest = _digest(file)
    for known in stream_context.ledger.files():
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


def _claim(stream_context: StreamContext, ingested: Sequence[Path], partition: str) -> None:
    """Files whose place tells no date belong to the partition that they were ingested for."""
    source = stream_context.source
    assert isinstance(source, FileSource)
    undated = [file.uri for file in source.find() if file.landing_partition is None]
    stream_context.ledger.assign([uri for uri in undated if source.path_of(uri) in set(ingested)], partition)


def _landing_partition(stream_context: StreamContext, partition: str | None) -> str:
    calendar = stream_context.stream.landing_calendar
    newest = newest_partition(calendar)
    if partition is None:
        return newest
    try:
        known = calendar.key_of(calendar.window(partition).start) == partition
    except ValueError:
        known = False
    first = calendar.first_key
    if not known or not first <= partition <= newest:
        raise UserError(
            f"--partition: there is no landing partition {partition!r}. Fix: name one from {first} to {newest}."
        )
    return partition


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{file}: it can't be read: {error.strerror}. Fix: name a file that is there.") from None
