"""The commands that run jobs: `demo`, `dev`, `ingest`, `run`, `rebuild`."""

import os
import signal
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sessions_platform.cli.exit_codes import NEEDS_ATTENTION
from sessions_platform.cli.messages import say
from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document, printable
from sessions_platform.cli.progress import shown_progress
from sessions_platform.cli.status_page import print_status
from sessions_platform.demo.served_by import ServedBy
from sessions_platform.errors import UserError
from sessions_platform.settings import Settings, logs_are_json

_TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


def demo(
    source: Annotated[
        ServedBy | None,
        typer.Option(
            help="Read the week from a server that is started for it, and not from files.", show_default=False
        ),
    ] = None,
) -> None:
    """Write a week of events with planted faults, materialize every asset, and show the result.

    With --source, the events come from a server on this machine, as the stream web_shop_SOURCE. PostgreSQL and the HTTP
    API are there; Kafka has to be installed (KAFKA_HOME, or kafka-server-start.sh on the path, and Java), and so has
    SeaweedFS for S3 (weed on the path).
    """
    from sessions_platform.demo.run import run_demo

    with shown_progress():
        run_demo(Settings.from_environment(), source)


def dev(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the UI, on the loopback interface.")] = 3000,
) -> None:
    """Start the UI and the daemon, with schedules and sensors."""
    from importlib.util import find_spec

    from sessions_platform.errors import MissingExtraError
    from sessions_platform.orchestration.dagster_home import dagster_home

    if find_spec("dagster_webserver") is None:
        raise MissingExtraError("dagster-webserver", "ui")
    _raise_if_used(port)
    home = dagster_home(Settings.from_environment(), os.environ)
    python = [sys.executable, "-W", "ignore:Function `dev_command` is superseded"]  # nobody can act on it
    command = [*python, "-m", "dagster", "dev", "-m", "sessions_platform.definitions"]
    if logs_are_json(os.environ):
        command += ["--log-format", "json"]
    say(f"The UI opens at http://127.0.0.1:{port}")
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    os.chdir(home)  # noqa: TID251  no other thread runs; Dagster warns of the dagster.yaml in any other folder
    # A script's `dev &` ignores SIGINT, and Dagster does by SIGTERM what it does by that: nothing would end it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvpe(command[0], [*command, "-h", "127.0.0.1", "-p", str(port)], environment)


def _raise_if_used(port: int) -> None:
    """Raise UserError where the UI can't listen; Dagster would say so amid a traceback, once all has started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the webserver does, just after another one
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = f"the UI can't listen at port {port}: {error.strerror}"
            raise UserError(f"{reason}. Fix: name another one, as in --port {port % 65535 + 1}.") from None


def ingest(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files, folders of files, and - for standard input.", show_default=False),
    ] = None,
    partition: Annotated[str | None, typer.Option(help="The landing partition; by default the newest one.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--from", formats=_TIMES, help="Instead of files: the first moment to ask the source for, in UTC."
        ),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=_TIMES, help="With --from: the moment after the last.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put files into the landing folder, ingest them, and refresh all affected sessions.

    With --from and --to, ask a server for the records of that time instead, by its own clock, whole landing partitions
    at a time; what was read before is a duplicate.

    The exit code is 3 where the status has hints, such as that nearly all rows are rejected.
    """
    from sessions_platform.api import open_stream

    is_backfill = _is_backfill(files or [], partition, since, until)
    with shown_progress():
        opened = open_stream(stream)
        if is_backfill:
            assert since is not None
            assert until is not None
            status = opened.backfill(since, until)
        else:
            status = opened.ingest(*files or [], partition=partition)
    _print_status(status, as_json)


def _is_backfill(files: list[Path], partition: str | None, since: datetime | None, until: datetime | None) -> bool:
    """Whether the source is to be asked, and no files to be placed. Raises UserError where it is not clear."""
    if (since is None) != (until is None):
        raise UserError("--from and --to belong together. Fix: state both, as in --from 2026-01-01 --to 2026-01-08.")
    if since is None and not files:
        raise UserError(
            "there is nothing to ingest. Fix: name files or folders; or a time of a server, by --from and --to."
        )
    if since is not None and (files or partition):
        raise UserError("--from and --to ask a server, which takes no files and no --partition. Fix: leave one out.")
    return since is not None


def run(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    partition: Annotated[
        str | None, typer.Option(help="This landing partition alone, pending or not, and the sessions that it affects.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ingest what is pending in the source, and refresh all stale sessions.

    The exit code is 3 where the status has hints, such as that nothing is found in the source.
    """
    from sessions_platform.api import open_stream

    with shown_progress():
        status = open_stream(stream).run(partition)
    _print_status(status, as_json)


def _print_status(status: dict[str, Any], as_json: bool) -> None:
    """Print a status; what is likely wrong with the stream comes after it, too, where it is seen, and exits with 3."""
    if as_json:
        print_document(status, as_json)
    else:
        print_status([status], leaves_out_hints=True)
    for hint in status["hints"]:
        say(printable(hint), "warning")
    if status["hints"]:
        raise typer.Exit(NEEDS_ATTENTION)


def rebuild(stream: Annotated[str, typer.Argument(help="The stream's name.")], as_json: AsJson = False) -> None:
    """Recompute everything of a stream from its raw rows as a shadow build, and swap it in at once.

    For a change of a cadence, of the session timezone or of a column's type.
    """
    from sessions_platform.api import open_stream

    with shown_progress():
        status = open_stream(stream).rebuild()
    if as_json:
        print_document(status, as_json)
    else:
        print_status([status])
