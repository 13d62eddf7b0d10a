"""The command line `sessions-platform`: arguments and output of the functions that the UI and sensors use too.

Here belong options, help texts and how results are printed. Not here: what a command does, which is in `operations`, or
in `orchestration/commands.py` where it starts runs. Commands import what they need when they run: Dagster alone takes a
second and more.
"""

import typer

from sessions_platform.allocator import configure_allocator
from sessions_platform.cli import query, run
from sessions_platform.cli.rejected import rejected
from sessions_platform.cli.verification import verify
from sessions_platform.errors import RunFailedError, UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (run.demo, run.dev, run.ingest, run.rebuild, query.status, query.sql, verify):
    app.command()(command)
app.add_typer(rejected, name="rejected")


def main() -> None:
    """Run the command line. A UserError is printed as a sentence (exit code 2), a failed run too (1)."""
    configure_allocator()
    try:
        app()
    except UserError as invalid:
        typer.echo(str(invalid), err=True)
        raise SystemExit(2) from None
    except RunFailedError as failed:
        typer.echo(f"The run failed.\n{failed}", err=True)
        raise SystemExit(1) from None
