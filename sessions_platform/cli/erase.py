"""`sessions-platform erase`: remove users from a stream, and refuse them from now on."""

from pathlib import Path
from typing import Annotated

import typer

from sessions_platform.cli.messages import say
from sessions_platform.cli.options import AsJson, DryRun
from sessions_platform.cli.output import contexts, print_document
from sessions_platform.cli.progress import shown_progress
from sessions_platform.settings import Settings


def erase(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    user: Annotated[list[str] | None, typer.Option(help="An id as in the column user_id; may be repeated.")] = None,
    users_file: Annotated[Path | None, typer.Option("--users-file", help="A file with an id on each line.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Erase users from the lake, the warehouse and the landing files, and refuse their rows from now on.

    It prints a receipt. An erasure that was interrupted is completed by running it again.
    """
    from sessions_platform.operations.erase import dry_run as find
    from sessions_platform.operations.erase import erase as erase_users
    from sessions_platform.operations.erase import users_in
    from sessions_platform.storage.postgres.database import dagster_database

    (stream_context,) = contexts(stream)
    users = [*(user or []), *(users_in(users_file) if users_file else [])]
    if dry_run:
        print_document(find(stream_context, users), as_json)
        return
    dagster = dagster_database(Settings.from_environment())
    with shown_progress():
        receipt = erase_users(stream_context, users, dagster=dagster, report=say)
    print_document(receipt, as_json)
