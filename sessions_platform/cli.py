"""sessions-platform: a thin skin over the same functions that the UI, schedules and sensors use."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sessions_platform.mistakes import Mistake, RunFailed
from sessions_platform.settings import Settings

# Commands import what they need when they run: Dagster alone takes a second and more.

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]


def main() -> None:
    """Run the command line; a user's mistake ends in a sentence, never in a traceback."""
    try:
        app()
    except Mistake as mistake:
        typer.echo(str(mistake), err=True)
        raise SystemExit(2) from None
    except RunFailed as failed:
        typer.echo(f"The run failed.\n{failed}", err=True)
        raise SystemExit(1) from None


@app.command()
def demo() -> None:
    """Land a week of events with planted faults, materialize every asset, and show what came of it."""
    from sessions_platform.demo.run import run_demo

    run_demo(Settings.from_environment())


@app.command()
def dev(port: Annotated[int, typer.Option(help="Of the UI, on loopback.")] = 3000) -> None:
    """Start the UI and the daemon on the embedded default."""
    from sessions_platform.orchestration.runs import dagster_home

    home = dagster_home(Settings.from_environment(), os.environ)
    command = [sys.executable, "-m", "dagster", "dev", "-m", "sessions_platform.definitions"]
    typer.echo(f"The UI opens at http://127.0.0.1:{port}", err=True)
    environment = {**os.environ, "DAGSTER_HOME": str(home)}
    os.chdir(home)  # Dagster warns of the dagster.yaml in any other folder
    os.execvpe(command[0], [*command, "-h", "127.0.0.1", "-p", str(port)], environment)


@app.command()
def ingest(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    files: Annotated[list[Path], typer.Argument(help="Files in the stream's format.", show_default=False)],
    partition: Annotated[str | None, typer.Option(help="The landing partition; by default the one going on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Land files, take them in, and refresh every session that they touch."""
    from sessions_platform.orchestration.ingest import ingest_files

    _print(ingest_files(Settings.from_environment(), stream, files, partition), as_json)


@app.command()
def rebuild(stream: Annotated[str, typer.Argument(help="The stream's name.")], as_json: AsJson = False) -> None:
    """Make everything of a stream anew from its raw rows, beside what stands, and switch at once.

    For a change of a cadence, of the session timezone or of a column's type.
    """
    from sessions_platform.orchestration.ingest import rebuild_stream

    _print(rebuild_stream(Settings.from_environment(), stream), as_json)


@app.command()
def status(
    stream: Annotated[str | None, typer.Argument(help="The stream's name; all of them without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what each stream holds, and what waits."""
    from sessions_platform.journey.status import status as status_of
    from sessions_platform.journey.workspace import open_workspaces

    settings = Settings.from_environment()
    found = [status_of(workspace) for workspace in open_workspaces(settings, [stream] if stream else None)]
    _print(found[0] if stream else found, as_json)


@app.command()
def sql(query: Annotated[str, typer.Argument(help="One statement that only reads.")], as_json: AsJson = False) -> None:
    """Query the warehouse, read-only."""
    from sessions_platform.storage.database import Database

    rows = Database(Settings.from_environment()).query(query)
    if as_json:
        _print(rows, as_json)
    else:
        _print_table(rows)


def _print(document: Any, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(document, default=str, ensure_ascii=False))
    else:
        import yaml

        typer.echo(yaml.safe_dump(json.loads(json.dumps(document, default=str)), sort_keys=False).rstrip())


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*(rows[0] if rows else ()))
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    Console().print(table if rows else "no rows")
