"""The commands that only read: `status` and `sql`."""

from typing import Annotated

import typer

from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import contexts, print_document, print_table
from sessions_platform.settings import Settings


def status(
    stream: Annotated[str | None, typer.Argument(help="The stream's name; all of them without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what each stream contains, and what is pending or stale."""
    from sessions_platform.operations.status import status as status_of

    statuses = [status_of(stream_context) for stream_context in contexts(stream)]
    print_document(statuses[0] if stream else statuses, as_json)


def sql(query: Annotated[str, typer.Argument(help="One statement that only reads.")], as_json: AsJson = False) -> None:
    """Query the warehouse, read-only."""
    from sessions_platform.storage.postgres.database import Database

    rows = Database(Settings.from_environment()).query(query)
    if as_json:
        print_document(rows, as_json)
    else:
        print_table(rows)
