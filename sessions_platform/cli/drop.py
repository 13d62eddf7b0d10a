"""`sessions-platform drop`: remove a stream that is no longer wanted."""

from typing import Annotated

import typer

from sessions_platform.cli.options import AsJson, DryRun
from sessions_platform.cli.output import print_document
from sessions_platform.errors import UserError
from sessions_platform.settings import Settings


def drop(
    stream: Annotated[str, typer.Argument(help="The stream's name; its file may be gone.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the name.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove a stream's tables, rows in the ledger and lake folder. Landing files and the stream's file stay."""
    from sessions_platform.operations.drop import what_is_dropped

    dropped = what_is_dropped(Settings.from_environment(), stream)
    if not dry_run and not yes:
        if not as_json:
            print_document(dropped._asdict(), as_json)
        if typer.prompt(f"Type {stream} to remove all of that", default="", show_default=False, err=True) != stream:
            raise UserError(f"{stream}: nothing was removed. Fix: type its name, or give --yes.")
    if not dry_run:
        from sessions_platform.orchestration.commands import drop_stream

        drop_stream(Settings.from_environment(), dropped)
    print_document({**dropped._asdict(), "dry_run": dry_run}, as_json)
