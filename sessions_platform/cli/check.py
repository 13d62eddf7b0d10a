"""`sessions-platform check`: streams are read without a database, and each gets a line."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from sessions_platform.cli.exit_codes import USER_ERROR
from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document, printable
from sessions_platform.settings import Settings

if TYPE_CHECKING:
    from sessions_platform.operations.check import CheckedStream


def check(
    streams: Annotated[
        list[str] | None,
        typer.Argument(help="The names of streams; all of them without it.", metavar="[STREAM]...", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the files of streams, their landing paths and their references, without a database.

    Each stream is ok, or its problems are shown, each with file, line, key, reason and fix; then the exit code is 2.
    Example: sessions-platform check app
    """
    from sessions_platform.operations.check import check_streams

    checked = check_streams(Settings.from_environment(), streams or ())
    if as_json:
        print_document([each.document for each in checked], as_json)
    else:
        for each in checked:
            typer.echo(printable("\n".join(_lines(each))))
    if any(each.problems for each in checked):
        raise typer.Exit(USER_ERROR)


def _lines(checked: "CheckedStream") -> Iterator[str]:
    if checked.problems:
        yield f"{checked.name}: {len(checked.problems)} {'problem' if len(checked.problems) == 1 else 'problems'}"
        yield from (f"  {problem}" for problem in checked.problems)
    else:
        yield f"{checked.name}: ok"
    yield from (f"  note: {note}" for note in checked.notes)
