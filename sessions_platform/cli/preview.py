"""`sessions-platform preview`: what rows of files become, for people in lines of the terminal's width."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import typer

from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document, printable

_WIDEST = 120
_NARROWEST = 40
_WIDEST_FIELD = 30


def preview(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files in the stream's format; its newest landing files without any.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many rows are looked at, of all files together.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show what rows of files become: events with their types, or the reasons of their rejection.

    Nothing is stored, and no server is started. Example: sessions-platform preview app export.ndjson --limit 20
    """
    from sessions_platform.api import open_stream

    document = open_stream(stream).preview(*(files or ()), limit=limit).document
    if as_json:
        print_document(document, as_json)
    else:
        typer.echo("\n".join(preview_lines(document, terminal_width())))


def terminal_width() -> int:
    """How many columns lines may have: those of the terminal, within bounds; 80 where there is none."""
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size((80, 24)).columns))


def preview_lines(document: Mapping[str, Any], width: int) -> Iterator[str]:
    """The document of a preview as lines of at most `width` columns: each row with its values or reasons, and sums."""
    for row in document["rows"]:
        yield from row_lines(row, width, document["fields"])
    yield from count_lines(document, document["rejected_by_reason"], width)
    for note in document["notes"]:
        yield from wrapped(note, width)


def row_lines(row: Mapping[str, Any], width: int, fields: Mapping[str, str] | None = None) -> Iterator[str]:
    """A row: its place and outcome, and below that its values that are not null, or its reasons and its beginning.

    Where the fields of a tool are given by column, those of a value are beside the column's name.
    """
    yield cut(f"{PurePosixPath(row['file']).name}:{row['position']}  {row['outcome']}", width)
    values = {name: value for name, value in row.get("values", {}).items() if value is not None}
    names = max(map(len, values), default=0)
    theirs = {name: cut((fields or {}).get(name, ""), _WIDEST_FIELD) for name in values}
    widest = max(map(len, theirs.values()), default=0)
    for name, value in values.items():
        beside = f"{theirs[name]:{widest}}  " if widest else ""
        yield cut(f"  {name:{names}}  {beside}{value}", width)
    for reason in row.get("reasons", ()):
        place = f"{reason['column']}: " if reason["column"] else ""
        value = "" if reason["value"] is None else f"; it is {reason['value']!r}"
        yield from wrapped(f"  {reason['code']}  {place}{reason['rule']}{value}", width)
    if "payload" in row:
        yield cut(f"  {row['payload']}", width)
    yield ""


def count_lines(counts: Mapping[str, int], by_reason: Mapping[str, int], width: int) -> Iterator[str]:
    """How many rows became what, and why those were rejected that were."""
    listed = (f"{counts[name]:,} {name}" for name in ("accepted", "rejected", "duplicates", "skipped"))
    yield from wrapped(f"{counts['raw_rows']:,} rows: {', '.join(listed)}", width)
    if by_reason:
        reasons = ", ".join(f"{code} {rows:,}" for code, rows in by_reason.items())
        yield from wrapped(f"rejected by reason: {reasons}", width)


def wrapped(text: str, width: int) -> list[str]:
    """A text in lines of at most `width` columns, the second and further ones indented."""
    return textwrap.wrap(_one_line(text), width, subsequent_indent="    ")


def cut(text: str, width: int) -> str:
    """One line, which ends in … where it would be too long."""
    line = _one_line(text)
    return line if len(line) <= width else f"{line[: width - 1]}…"


def _one_line(text: str) -> str:
    """The text without line breaks, and without characters that a terminal would obey."""
    return printable(text.replace("\n", " ").replace("\t", " "))
