"""Options and arguments that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing, and report what would be done.")]
SomeStream = Annotated[
    str | None, typer.Argument(metavar="[STREAM]", help="The stream's name; all of them without it.")
]
Reason = Annotated[str | None, typer.Option(help="A code, as in bad_timestamp.")]
Partition = Annotated[str | None, typer.Option(help="A landing partition.")]
Ids = Annotated[list[str], typer.Argument(help="Rejection ids; the first characters suffice.", show_default=False)]


class StatusChoice(StrEnum):
    """Which rows of the queue to show, by status."""

    open = "open"
    resolved = "resolved"
    discarded = "discarded"
    all = "all"


OfStatus = Annotated[StatusChoice, typer.Option(help="Status of the rows.")]
