"""The commands that remove what is no longer needed: `clean-up` and `purge`."""

from datetime import timedelta
from typing import Annotated

import typer

from sessions_platform.cli.options import AsJson, DryRun
from sessions_platform.cli.output import contexts, print_document
from sessions_platform.settings import Settings


def clean_up(
    stream: Annotated[str | None, typer.Argument(help="The stream's name; all of them without it.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove superseded lake files, versions and changes of sessions after the stream's retention."""
    from sessions_platform.operations.clean_up import clean_up as clean_up_of

    removed = {of.stream.name: clean_up_of(of, dry_run=dry_run).document for of in contexts(stream)}
    print_document(removed, as_json)


def purge(
    days: Annotated[int, typer.Option("--keep-for-days", min=1, help="How long ended runs are kept.")] = 90,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Delete old runs and ticks from Dagster's storage that no asset's state depends on."""
    from sessions_platform.orchestration.commands import purge_storage

    print_document(purge_storage(Settings.from_environment(), timedelta(days=days), dry_run=dry_run), as_json)
