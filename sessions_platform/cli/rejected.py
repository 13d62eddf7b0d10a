"""`sessions-platform rejected …`: the commands of the dead-letter queue."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sessions_platform.cli.exit_codes import NEEDS_ATTENTION
from sessions_platform.cli.messages import say
from sessions_platform.cli.options import AsJson, DryRun, Ids, OfStatus, Partition, Reason, SomeStream, StatusChoice
from sessions_platform.cli.output import contexts, one_connection, print_document, print_table, save, user
from sessions_platform.cli.progress import shown_progress
from sessions_platform.settings import Settings

rejected = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    suggest_commands=False,
    help="The dead-letter queue: list, show, export, replay, discard.",
)

_ROWS_SHOWN = 100


@rejected.command("list")
def list_rejected(
    stream: SomeStream = None,
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
        save(as_csv, table.getvalue())
        say(f"{len(rows)} rows written to {as_csv}")
    elif as_json:
        print_document(rows, as_json)
    else:
        print_table([_in_short(row) for row in rows])


@rejected.command("show")
def show_rejected(
    rejection_id: Annotated[str, typer.Argument(help="A rejection id; the first characters suffice.")],
    as_json: AsJson = False,
) -> None:
    """Show one row with its payload, its reasons, and all decisions and repairs."""
    from sessions_platform.operations.dead_letters import rejected_record

    print_document(rejected_record(contexts(None), rejection_id), as_json)


@rejected.command("export")
def export_rejected(
    stream: SomeStream = None,
    reason: Reason = None,
    partition: Partition = None,
    status: OfStatus = StatusChoice.open,
    file: Annotated[Path | None, typer.Option("--to", help="The file to write; standard output without it.")] = None,
) -> None:
    """Write rows as NDJSON, one a line, to be repaired and replayed."""
    from sessions_platform.operations.dead_letters import exported, is_replayable

    rows = _rejected_records(stream, reason, partition, status, None)
    lines = [f"{line}\n" for line in exported(filter(is_replayable, rows))]
    if file is None:
        sys.stdout.writelines(lines)
    else:
        save(file, "".join(lines))
    left_out = len(rows) - len(lines)
    also = f"; {left_out} left out, which are unreadable files and not rows" if left_out else ""
    say(f"{len(lines)} rows exported{also}")


@rejected.command("replay")
def replay_rejected(
    file: Annotated[Path, typer.Argument(help="NDJSON as `rejected export` wrote it, repaired.", show_default=False)],
    stream: Annotated[str | None, typer.Option(help="The stream of lines that name none.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Replace rejected rows by repaired ones, and refresh all affected sessions.

    Rows that would be rejected again are not ingested; they are reported with their reasons, and the exit code is 3.
    """
    from sessions_platform.orchestration.commands import replay_file

    with shown_progress():
        replays = replay_file(Settings.from_environment(), file, stream, dry_run=dry_run)
    print_document({name: replayed.document for name, replayed in replays.items()}, as_json)
    if any(replayed.not_replayed for replayed in replays.values()):
        raise typer.Exit(NEEDS_ATTENTION)


@rejected.command("discard")
def discard_rejected(
    ids: Ids,
    because: Annotated[str, typer.Option(help="Why they will not be repaired.")],
    as_json: AsJson = False,
) -> None:
    """Decide that rows will not be repaired."""
    from sessions_platform.operations.dead_letters import discard

    _decide(discard, ids, because, as_json)


@rejected.command("reopen")
def reopen_rejected(
    ids: Ids,
    because: Annotated[str, typer.Option(help="Why they are open again.")] = "reopened",
    as_json: AsJson = False,
) -> None:
    """Make discarded rows open again."""
    from sessions_platform.operations.dead_letters import reopen

    _decide(reopen, ids, because, as_json)


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

    (stream_context,) = contexts(stream)
    print_document({"expired": expire(stream_context, kept_for(stream_context.stream, days), user())}, as_json)


def _rejected_records(
    stream: str | None, reason: str | None, partition: str | None, status: StatusChoice, limit: int | None
) -> list[dict[str, Any]]:
    from sessions_platform.operations.dead_letters import Filter, find_rejected_records

    wanted = Filter.of(status.value, reason, partition, limit)
    opened = contexts(stream)
    with one_connection(opened):
        return [row for stream_context in opened for row in find_rejected_records(stream_context, wanted)]


def _in_short(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["rejection_id"].partition("-")[0],
        "stream": row["stream"],
        "partition": row["landing_partition"],
        "place": f"{row['source_uri']}:{_positions(row)}",
        "rows": row["rows"],
        "reasons": ", ".join(dict.fromkeys(f"{r['code']} {r['column']}".strip() for r in row["reasons"])),
        "status": row["status"],
    }


def _positions(row: dict[str, Any]) -> str:
    last = row["position"] + row["rows"] - 1
    return str(last) if row["rows"] == 1 else f"{row['position']}-{last}"


def _decide(decide: Callable[..., Any], ids: list[str], because: str, as_json: bool) -> None:
    from sessions_platform.operations.dead_letters import resolve_ids

    resolved = resolve_ids(contexts(None), ids)
    decided = {context.stream.name: vars(decide(context, full, because, user())) for context, full in resolved}
    print_document(decided, as_json)
