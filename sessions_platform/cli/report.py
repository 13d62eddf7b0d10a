"""`sessions-platform report`: one page with pictures of a stream's sessions."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document


def report(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    html: Annotated[
        Path | None,
        typer.Option(
            help="The file to write; by default in the folder `reports` of SESSIONS_HOME.", show_default=False
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The first day, in the stream's session timezone.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one HTML page of a stream's sessions: when, how long, by which gap, what was rejected, what came late.

    The page needs no network and contains no script. Example: sessions-platform report app --html app.html
    """
    from sessions_platform.api import open_stream

    written = open_stream(stream).report(html, since.date() if since else None)
    if as_json:
        print_document({"file": str(written.file), "bytes": written.size, "sessions": written.sessions}, as_json)
    else:
        typer.echo(f"{written.file}: a report of {written.sessions:,} sessions. Open it in a browser.")
