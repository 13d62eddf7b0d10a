"""The command `metrics`: serves what the ledger and Dagster's storage measure, or prints or writes it once.

Not here: which metrics there are (`orchestration/metrics.py`).
"""

import os
import threading
from pathlib import Path
from typing import Annotated

import typer

from sessions_platform.cli.messages import say
from sessions_platform.errors import UserError
from sessions_platform.settings import Settings

_MADE_BY_THE_LIBRARY = "PROMETHEUS_DISABLE_CREATED_SERIES"


def metrics(
    host: Annotated[str, typer.Option(help="The address to serve at; by default this machine alone can ask.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to serve at.")] = 9812,
    once: Annotated[bool, typer.Option("--once", help="Print the metrics, and end.")] = False,
    to: Annotated[
        Path | None,
        typer.Option(help="Write them to this file, and end; for the textfile collector its name ends in .prom."),
    ] = None,
) -> None:
    """Serve metrics for Prometheus at /metrics, until it is interrupted."""
    os.environ.setdefault(_MADE_BY_THE_LIBRARY, "true")
    from prometheus_client import generate_latest, start_http_server, write_to_textfile

    from sessions_platform.orchestration.metrics import registry

    found = registry(Settings.from_environment(), say)
    if to:
        try:
            write_to_textfile(str(to), found)
        except OSError as error:
            raise UserError(f"{to}: it can't be written: {error.strerror}. Fix: name another file.") from None
    elif once:
        typer.echo(generate_latest(found).decode(), nl=False)
    else:
        try:
            server, thread = start_http_server(port, host, found)
        except OSError as error:
            raise UserError(
                f"{host}:{port}: it can't be listened to: {error.strerror}. Fix: choose another with --host or --port."
            ) from None
        say(f"Metrics are served at http://{host}:{port}/metrics")
        _serve(server, thread)


def _serve(server: object, thread: threading.Thread) -> None:
    """Wait until an interrupt; then stop listening."""
    try:
        thread.join()
    finally:
        server.shutdown()  # type: ignore[attr-defined]
        server.server_close()  # type: ignore[attr-defined]
