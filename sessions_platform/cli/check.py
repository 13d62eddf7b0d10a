"""`sessions-platform check`: streams are read without a database, and each gets a line."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sessions_platform.cli import terminal
from sessions_platform.cli.exit_codes import USER_ERROR
from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document, printable, wrapped
from sessions_platform.settings import Settings

if TYPE_CHECKING:
    from sessions_platform.operations.check import CheckedStream


def check(
    streams: Annotated[
        list[str] | None,
        typer.Argument(
            help="The names of streams, or files; all streams without it.", metavar="[STREAM]...", show_default=False
        ),
    ] = None,
    expanded: Annotated[
        bool,
        typer.Option("--expanded", help="Print the streams with the keys of their presets and of `session.like`."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read the files of streams, their landing paths and their references, without a database.

    Each stream is ok, or its problems are shown, each with file, line, key, reason and fix; then the exit code is 2.
    A session rule that is like another program's is shown with its keys.
    Example: sessions-platform check app
    """
    from sessions_platform.operations.check import check_streams

    checked = check_streams(Settings.from_environment(), streams or ())
    if as_json:
        print_document([_document(each, expanded=expanded) for each in checked], as_json)
    else:
        for each in checked:
            for line in _lines(each, expanded=expanded):
                typer.echo(line)
    if any(each.problems for each in checked):
        raise typer.Exit(USER_ERROR)


def _document(checked: "CheckedStream", *, expanded: bool) -> dict[str, Any]:
    return {**checked.document, **({"expanded": checked.expanded} if expanded else {})}


def _lines(checked: "CheckedStream", *, expanded: bool) -> Iterator[str]:
    if expanded and checked.expanded:
        yield printable(checked.expanded)
        return
    if checked.problems:
        yield f"{checked.name}: {len(checked.problems)} {'problem' if len(checked.problems) == 1 else 'problems'}"
        for problem in checked.problems:
            yield from _below(problem)
    else:
        yield f"{checked.name}: ok"
    if checked.session and "like" in checked.session:
        keys = {key: value for key, value in checked.session.items() if key != "like"}
        yield from _below(f"session: like {checked.session['like']}, which is {json.dumps(keys)}")
    for note in checked.notes:
        yield from _below(f"note: {note}")


def _below(text: str) -> Iterator[str]:
    """The text below its stream, as the terminal is wide."""
    yield from (f"  {line}" for line in wrapped(text, terminal.width(), 2))
