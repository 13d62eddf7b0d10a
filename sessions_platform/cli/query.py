"""The commands that only read: `status`, `files`, `sql` and `reader-url`."""

import re
from pathlib import Path
from typing import Annotated, Any

import click
import typer
import typer.core

from sessions_platform.cli.exit_codes import USER_ERROR
from sessions_platform.cli.messages import say
from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import contexts, one_connection, print_document, print_table, printable
from sessions_platform.cli.query_output import View, print_result
from sessions_platform.cli.status_page import print_status
from sessions_platform.errors import UserError
from sessions_platform.settings import Settings

_COMMENT = re.compile(r"--[^\s=]*\s")


def status(
    stream: Annotated[str | None, typer.Argument(help="The stream's name; all of them without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what each stream contains, and what is pending or stale; of a broken one its mistakes (exit code 2)."""
    from sessions_platform.contracts.unknown_stream import notes_on
    from sessions_platform.operations.drop import without_file
    from sessions_platform.operations.status import status as status_of
    from sessions_platform.pipeline.context import open_all
    from sessions_platform.storage.postgres.database import Database

    if stream:
        opened = contexts(stream)
        with one_connection(opened):
            _print_documents([*map(status_of, opened)], as_json, is_list=False)
        return
    settings = Settings.from_environment()
    opened, broken = open_all(settings)
    mistakes = [{"stream": each.name, "problems": [str(problem) for problem in each.problems]} for each in broken]
    known = {*(each.stream.name for each in opened), *(each.name for each in broken)}
    with one_connection(opened):
        database = opened[0].database if opened else Database(settings)
        documents = [*map(status_of, opened), *mistakes, *without_file(database, known)]
    _print_documents(documents, as_json, is_list=True)
    for note in notes_on(settings.streams):
        say(printable(note), "warning")
    if broken and not as_json:
        raise typer.Exit(USER_ERROR)  # the page begins with the mistakes
    if broken:
        raise UserError("\n".join(str(each.error) for each in broken))


def _print_documents(documents: list[dict[str, Any]], as_json: bool, *, is_list: bool) -> None:
    if as_json:
        print_document(documents if is_list else documents[0], as_json)
    else:
        print_status(documents)


def files(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    asset: Annotated[str, typer.Argument(help="raw_events, events, rejected_events or sessionized_events.")],
    as_json: AsJson = False,
) -> None:
    """List the lake files with the current rows of an asset; other files in its folder are superseded."""
    from sessions_platform.operations.files import current_files

    (stream_context,) = contexts(stream)
    rows = [file.document for file in current_files(stream_context, asset)]
    if as_json:
        print_document(rows, as_json)
    else:
        print_table(rows)


class _SqlCommand(typer.core.TyperCommand):
    """A command whose text may begin with a comment, which looks like an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; what has white space ahead of any equals sign is no option."""
        return super().parse_args(ctx, [f" {arg}" if _COMMENT.match(arg) else arg for arg in args])


sql = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@sql.command(cls=_SqlCommand)
def _sql(
    query: Annotated[str, typer.Argument(help="One statement that only reads.")],
    view: Annotated[
        View | None,
        typer.Option("--format", help="By default a table or records on a terminal, and csv elsewhere."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file to write; its ending says the format.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Query the warehouse, read-only."""
    from sessions_platform.storage.postgres.database import Database

    print_result(Database(Settings.from_environment()), query, View.json if as_json else view, output)


def reader_url() -> None:
    """Print the URL at which the reader logs in to the embedded PostgreSQL, while another process keeps it running."""
    from sessions_platform.storage.postgres.database import Database

    typer.echo(Database(Settings.from_environment()).reader_url)
