"""The command `verify`, which holds lake, ledger and warehouse against each other."""

from typing import Annotated

import typer

from sessions_platform.cli.exit_codes import NEEDS_ATTENTION
from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import contexts, print_document
from sessions_platform.cli.progress import shown_progress


def verify(
    stream: Annotated[str | None, typer.Argument(help="The stream's name; all of them without it.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Also read every byte of the lake.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make what is lost or damaged anew, where it can be.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold lake, ledger and warehouse against each other, and report what is missing, damaged or miscounted.

    The exit code is 3 where problems are left.
    """
    from sessions_platform.operations.verify import verify as verify_stream

    with shown_progress():
        verified = [verify_stream(context, "", deep=deep, repairing=repair) for context in contexts(stream)]
    documents = [one.document for one in verified]
    print_document(documents[0] if stream else documents, as_json)
    if any(one.problems for one in verified):
        raise typer.Exit(NEEDS_ATTENTION)
