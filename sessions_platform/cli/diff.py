"""`sessions-platform diff`: what a changed definition would do to a sample, in lines of the terminal's width."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from sessions_platform.cli.exit_codes import NEEDS_ATTENTION
from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document
from sessions_platform.cli.preview import cut, terminal_width, wrapped
from sessions_platform.settings import Settings

_OUTCOMES = ("accepted", "rejected", "duplicates", "skipped")
_SESSIONS = ("kept", "changed", "gone", "new")


def diff(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    against: Annotated[Path, typer.Option(help="The file with the other definition.", metavar="OTHER.yaml")],
    sample: Annotated[
        list[Path] | None,
        typer.Option(help="A file, or a folder of files; repeatable. The newest landing files without it."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="How many rows are looked at, one file after the other.")] = 20_000,
    as_json: AsJson = False,
) -> None:
    """Show what a changed definition would do to rows and sessions; nothing is stored or started.

    The exit code is 3 where a row or a session of the sample would differ, and 0 where none would.
    Example: sessions-platform diff app --against new/app.yaml
    """
    from sessions_platform.contracts.stream_folder import read_streams
    from sessions_platform.operations import diff as operation

    settings = Settings.from_environment()
    own = read_streams(settings.streams, settings.home, settings.pseudonym_key).named(stream)
    difference = operation.diff(own, against, settings, sample or (), rows)
    document = difference.document
    if as_json:
        print_document(document, as_json)
    else:
        typer.echo("\n".join(diff_lines(document, terminal_width())))
    if not difference.is_empty:
        raise typer.Exit(NEEDS_ATTENTION)


def diff_lines(document: Mapping[str, Any], width: int) -> Iterator[str]:
    """The document as lines of at most `width` columns: counts before and after, then examples."""
    rows, sessions, events = document["rows"], document["sessions"], document["events"]
    before, after = rows["before"], rows["after"]
    yield f"{'':10}  {'before':>10}  {'after':>10}"
    for name in ("raw_rows", *_OUTCOMES):
        yield f"{name:10}  {before[name]:>10,}  {after[name]:>10,}"
    yield f"{'sessions':10}  {sessions['before']:>10,}  {sessions['after']:>10,}"
    counted = ", ".join(f"{sessions[name]:,} {name}" for name in _SESSIONS)
    yield from wrapped(f"sessions by id: {counted}", width)
    for title, counts in (
        ("sessions' columns that change", sessions["changed_columns"]),
        ("events' columns that change", events["changed_columns"]),
        ("rows that move", rows["moved"]),
        ("newly rejected by reason", rows["newly_rejected_by_reason"]),
    ):
        if counts:
            yield from wrapped(f"{title}: {', '.join(f'{name} {count:,}' for name, count in counts.items())}", width)
    for whose, columns in (("sessions'", document["columns"]), ("events'", events["columns"])):
        for verb, names in columns.items():
            if names:
                yield from wrapped(f"{whose} columns {verb}: {', '.join(names)}", width)
    yield from _examples(document["examples"], width)
    for sentence in (*document["consequences"], *document["notes"]):
        yield from wrapped(sentence, width)


def _examples(examples: Mapping[str, Any], width: int) -> Iterator[str]:
    for kind, rows in examples.items():
        for row in rows:
            if "columns" in row:
                changes = ", ".join(f"{name} {was} → {now}" for name, (was, now) in row["columns"].items())
                yield from wrapped(f"{kind}: {row['user_id']} {row['session_id']}: {changes}", width)
            elif "session_id" in row:
                times = f"{row['session_start']} to {row['session_end']}, {row['event_count']:,} events"
                yield from wrapped(f"{kind}: {row['user_id']} {row['session_id']}: {times}", width)
            else:
                reasons = f" ({', '.join(row['reasons'])})" if row["reasons"] else ""
                yield cut(
                    f"{kind.replace('_', ' ')}{reasons}: {row['file']}:{row['position']}: {row['payload']}", width
                )
