"""The commands that run jobs: `demo`, `dev`, `ingest`, `run`, `rebuild`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sessions_platform.cli.exit_codes import NEEDS_ATTENTION
from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document, printable
from sessions_platform.cli.progress import shown_progress
from sessions_platform.cli.status_page import print_status
from sessions_platform.settings import Settings


def demo() -> None:
    """Write a week of events with planted faults, materialize every asset, and show the result."""
    from sessions_platform.demo.run import run_demo

    with shown_progress():
        run_demo(Settings.from_environment())


def dev(port: Annotated[int, typer.Option(help="Port of the UI, on the loopback interface.")] = 3000) -> None:
    """Start the UI and the daemon, with schedules and sensors."""
    from sessions_platform.orchestration.dagster_home import dagster_home

    home = dagster_home(Settings.from_environment(), os.environ)
    command = [sys.executable, "-m", "dagster", "dev", "-m", "sessions_platform.definitions"]
    typer.echo(f"The UI opens at http://127.0.0.1:{port}", err=True)
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    os.chdir(home)  # noqa: TID251  no other thread runs; Dagster warns of the dagster.yaml in any other folder
    os.execvpe(command[0], [*command, "-h", "127.0.0.1", "-p", str(port)], environment)


def ingest(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    files: Annotated[
        list[Path],
        typer.Argument(help="Files, folders of files, and - for standard input.", show_default=False),
    ],
    partition: Annotated[str | None, typer.Option(help="The landing partition; by default the newest one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Put files into the landing folder, ingest them, and refresh all affected sessions.

    The exit code is 3 where the status has hints, such as that nearly all rows are rejected.
    """
    from sessions_platform.orchestration.commands import ingest_files

    with shown_progress():
        status = ingest_files(Settings.from_environment(), stream, files, partition)
    _print_status(status, as_json)


def run(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    partition: Annotated[
        str | None, typer.Option(help="This landing partition alone, pending or not, and the sessions that it affects.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ingest what is pending among the landing files, and refresh all stale sessions.

    The exit code is 3 where the status has hints, such as that no landing file is found.
    """
    from sessions_platform.orchestration.commands import run_stream

    with shown_progress():
        status = run_stream(Settings.from_environment(), stream, partition)
    _print_status(status, as_json)


def _print_status(status: dict[str, Any], as_json: bool) -> None:
    """Print a status; what is likely wrong with the stream comes after it, too, where it is seen, and exits with 3."""
    if as_json:
        print_document(status, as_json)
    else:
        print_status([status], leaves_out_hints=True)
    for hint in status["hints"]:
        typer.echo(printable(hint), err=True)
    if status["hints"]:
        raise typer.Exit(NEEDS_ATTENTION)


def rebuild(stream: Annotated[str, typer.Argument(help="The stream's name.")], as_json: AsJson = False) -> None:
    """Recompute everything of a stream from its raw rows as a shadow build, and swap it in at once.

    For a change of a cadence, of the session timezone or of a column's type.
    """
    from sessions_platform.orchestration.commands import rebuild_stream

    with shown_progress():
        status = rebuild_stream(Settings.from_environment(), stream)
    if as_json:
        print_document(status, as_json)
    else:
        print_status([status])
