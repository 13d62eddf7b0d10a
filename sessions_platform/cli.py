"""The command line `sessions-platform`: arguments and output of the functions that the UI and sensors use too.

Here belong options, help texts and how results are printed. Not here: what a command does, which is in `operations`, or
in `orchestration/commands.py` where it starts runs.
"""

import getpass
import io
import json
import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sessions_platform.allocator import configure_allocator
from sessions_platform.errors import RunFailedError, UserError
from sessions_platform.settings import Settings

# Commands import what they need when they run: Dagster alone takes a second and more.

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

rejected = typer.Typer(no_args_is_help=True, help="The dead-letter queue: list, show, export, replay, discard.")
app.add_typer(rejected, name="rejected")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]


OfStream = Annotated[str | None, typer.Option("--stream", help="The stream's name; all of them without it.")]
Reason = Annotated[str | None, typer.Option(help="A code, as in bad_timestamp.")]
Partition = Annotated[str | None, typer.Option(help="A landing partition.")]
Ids = Annotated[list[str], typer.Argument(help="Rejection ids; the first characters suffice.", show_default=False)]


class StatusChoice(StrEnum):
    """Which rows of the queue to show, by status."""

    open = "open"
    resolved = "resolved"
    discarded = "discarded"
    all = "all"


OfStatus = Annotated[StatusChoice, typer.Option(help="Status of the rows.")]


def main() -> None:
    """Run the command line. A UserError is printed as a sentence (exit code 2), a failed run too (1)."""
    configure_allocator()
    try:
        app()
    except UserError as invalid:
        typer.echo(str(invalid), err=True)
        raise SystemExit(2) from None
    except RunFailedError as failed:
        typer.echo(f"The run failed.\n{failed}", err=True)
        raise SystemExit(1) from None


@app.command()
def demo() -> None:
    """Write a week of events with planted faults, materialize every asset, and show the result."""
    from sessions_platform.demo.run import run_demo

    run_demo(Settings.from_environment())


@app.command()
def dev(port: Annotated[int, typer.Option(help="Port of the UI, on the loopback interface.")] = 3000) -> None:
    """Start the UI and the daemon, with schedules and sensors."""
    from sessions_platform.orchestration.runs import dagster_home

    home = dagster_home(Settings.from_environment(), os.environ)
    command = [sys.executable, "-m", "dagster", "dev", "-m", "sessions_platform.definitions"]
    typer.echo(f"The UI opens at http://127.0.0.1:{port}", err=True)
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    os.chdir(home)  # Dagster warns of the dagster.yaml in any other folder
    os.execvpe(command[0], [*command, "-h", "127.0.0.1", "-p", str(port)], environment)


@app.command()
def ingest(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    files: Annotated[list[Path], typer.Argument(help="Files in the stream's format.", show_default=False)],
    partition: Annotated[str | None, typer.Option(help="The landing partition; by default the newest one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put files into the landing folder, ingest them, and refresh all affected sessions."""
    from sessions_platform.orchestration.commands import ingest_files

    _print(ingest_files(Settings.from_environment(), stream, files, partition), as_json)


@app.command()
def rebuild(stream: Annotated[str, typer.Argument(help="The stream's name.")], as_json: AsJson = False) -> None:
    """Recompute everything of a stream from its raw rows as a shadow build, and swap it in at once.

    For a change of a cadence, of the session timezone or of a column's type.
    """
    from sessions_platform.orchestration.commands import rebuild_stream

    _print(rebuild_stream(Settings.from_environment(), stream), as_json)


@app.command()
def status(
    stream: Annotated[str | None, typer.Argument(help="The stream's name; all of them without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what each stream contains, and what is pending or stale."""
    from sessions_platform.operations.status import status as status_of

    statuses = [status_of(stream_context) for stream_context in _contexts(stream)]
    _print(statuses[0] if stream else statuses, as_json)


@app.command()
def sql(query: Annotated[str, typer.Argument(help="One statement that only reads.")], as_json: AsJson = False) -> None:
    """Query the warehouse, read-only."""
    from sessions_platform.storage.postgres.database import Database

    rows = Database(Settings.from_environment()).query(query)
    if as_json:
        _print(rows, as_json)
    else:
        _print_table(rows)


@rejected.command("list")
def list_rejected(
    stream: OfStream = None,
    reason: Reason = None,
    partition: Partition = None,
    status: OfStatus = StatusChoice.open,
    limit: Annotated[int | None, typer.Option(help="Maximum number of rows for each stream; 100 in a table.")] = None,
    as_csv: Annotated[Path | None, typer.Option("--csv", help="Write a file for a spreadsheet.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show rows of the queue."""
    from sessions_platform.operations.dead_letters import write_csv

    most = limit if limit or as_json or as_csv else _ROWS_SHOWN
    rows = _rejected_records(stream, reason, partition, status, most)
    if as_csv:
        write_csv(rows, table := io.StringIO(newline=""))
        _save(as_csv, table.getvalue())
        typer.echo(f"{len(rows)} rows written to {as_csv}", err=True)
    elif as_json:
        _print(rows, as_json)
    else:
        _print_table([_in_short(row) for row in rows])


@rejected.command("show")
def show_rejected(
    rejection_id: Annotated[str, typer.Argument(help="A rejection id; the first characters suffice.")],
    stream: OfStream = None,
    as_json: AsJson = False,
) -> None:
    """Show one row with its payload, its reasons, and all decisions and repairs."""
    from sessions_platform.operations.dead_letters import rejected_record

    _print(rejected_record(_contexts(stream), rejection_id), as_json)


@rejected.command("export")
def export_rejected(
    file: Annotated[
        Path | None, typer.Argument(help="The file to write; standard output without it.", show_default=False)
    ] = None,
    stream: OfStream = None,
    reason: Reason = None,
    partition: Partition = None,
    status: OfStatus = StatusChoice.open,
) -> None:
    """Write rows as NDJSON, one a line, to be repaired and replayed."""
    from sessions_platform.operations.dead_letters import exported, is_replayable

    rows = _rejected_records(stream, reason, partition, status, None)
    lines = [f"{line}\n" for line in exported(filter(is_replayable, rows))]
    if file is None:
        sys.stdout.writelines(lines)
    else:
        _save(file, "".join(lines))
    left_out = len(rows) - len(lines)
    also = f"; {left_out} left out, which are unreadable files and not rows" if left_out else ""
    typer.echo(f"{len(lines)} rows exported{also}", err=True)


@rejected.command("replay")
def replay_rejected(
    file: Annotated[Path, typer.Argument(help="NDJSON as `rejected export` wrote it, repaired.", show_default=False)],
    stream: Annotated[str | None, typer.Option(help="The stream of lines that name none.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, and report what would happen.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replace rejected rows by repaired ones, and refresh all affected sessions.

    Rows that would be rejected again are not ingested; they are reported with their reasons, and the exit code is 1.
    """
    from sessions_platform.orchestration.commands import replay_file

    replays = replay_file(Settings.from_environment(), file, stream, dry_run=dry_run)
    _print({name: replayed.document for name, replayed in replays.items()}, as_json)
    if any(replayed.not_replayed for replayed in replays.values()):
        raise typer.Exit(1)


@rejected.command("discard")
def discard_rejected(
    ids: Ids,
    because: Annotated[str, typer.Option(help="Why they will not be repaired.")],
    stream: OfStream = None,
    as_json: AsJson = False,
) -> None:
    """Decide that rows will not be repaired."""
    from sessions_platform.operations.dead_letters import discard

    _decide(discard, ids, because, stream, as_json)


@rejected.command("reopen")
def reopen_rejected(
    ids: Ids,
    because: Annotated[str, typer.Option(help="Why they are open again.")] = "reopened",
    stream: OfStream = None,
    as_json: AsJson = False,
) -> None:
    """Make discarded rows open again."""
    from sessions_platform.operations.dead_letters import reopen

    _decide(reopen, ids, because, stream, as_json)


@rejected.command("expire")
def expire_rejected(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    days: Annotated[
        int | None, typer.Option("--keep-for-days", min=0, help="By default as in the stream's file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remove rows from the warehouse that were resolved or discarded long ago; never open ones."""
    from sessions_platform.operations.dead_letters import expire, kept_for

    (stream_context,) = _contexts(stream)
    _print({"expired": expire(stream_context, kept_for(stream_context.stream, days), _user())}, as_json)


_ROWS_SHOWN = 100


def _contexts(stream: str | None):
    from sessions_platform.pipeline.context import open_contexts

    return open_contexts(Settings.from_environment(), [stream] if stream else None)


def _rejected_records(
    stream: str | None, reason: str | None, partition: str | None, status: StatusChoice, limit: int | None
) -> list[dict[str, Any]]:
    from sessions_platform.operations.dead_letters import Filter, find_rejected_records
    from sessions_platform.storage.warehouses.postgres.dead_letters import Status

    of_status = None if status is StatusChoice.all else Status(status.value)
    wanted = Filter(of_status, reason, partition, limit=limit)
    return [row for stream_context in _contexts(stream) for row in find_rejected_records(stream_context, wanted)]


def _in_short(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["rejection_id"].partition("-")[0],
        "stream": row["stream"],
        "partition": row["landing_partition"],
        "place": f"{row['source_uri']}:{row['position']}",
        "reasons": ", ".join(dict.fromkeys(f"{r['code']} {r['column']}".strip() for r in row["reasons"])),
        "status": row["status"],
    }


def _decide(decide: Callable[..., Any], ids: list[str], because: str, stream: str | None, as_json: bool) -> None:
    from sessions_platform.operations.dead_letters import resolve_ids

    resolved = resolve_ids(_contexts(stream), ids)
    decided = {context.stream.name: vars(decide(context, full, because, _user())) for context, full in resolved}
    _print(decided, as_json)


def _save(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"{file}: it can't be written: {error.strerror}. Fix: name another file.") from None


def _user() -> str:
    """Who runs the command, for the history of decisions."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name on this machine
        return f"user {os.getuid()}"


def _print(document: Any, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document, default=str, ensure_ascii=False))
    else:
        import yaml

        typer.echo(yaml.safe_dump(json.loads(json.dumps(document, default=str)), sort_keys=False).rstrip())


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*(rows[0] if rows else ()))
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    Console().print(table if rows else "no rows")
