"""`sessions-platform deliver`: deliver sessions to warehouses besides PostgreSQL."""

from typing import Annotated

import typer

from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document
from sessions_platform.cli.progress import shown_progress


def deliver(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    target: Annotated[list[str] | None, typer.Option(help="A target of the stream; may be repeated.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all that the targets have, and deliver again what differs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Deliver to the targets of a stream what they lack of its loaded sessions.

    `run`, `ingest` and `rebuild` do so at their end. One that fails holds back no other.
    """
    from sessions_platform.api import open_stream

    with shown_progress():
        delivered = open_stream(stream).deliver(*(target or []), verify=verify)
    print_document(delivered, as_json)
