"""The command line `sessions-platform`: arguments and output of the functions that the UI and sensors use too.

Here belong options, help texts and how results are printed. Not here: what a command does, which is in `operations`, or
in `orchestration/commands.py` where it starts runs. Commands import what they need when they run: Dagster alone takes a
second and more.
"""

import typer

from sessions_platform.allocator import configure_allocator
from sessions_platform.cli import erase, housekeeping, preview, query, run
from sessions_platform.cli.failures import run_command
from sessions_platform.cli.rejected import rejected
from sessions_platform.cli.verification import verify

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for command in (
    *(run.demo, run.dev, run.ingest, run.run, run.rebuild, erase.erase),
    *(preview.preview, query.status, query.files, query.sql, query.reader_url, verify),
    *(housekeeping.clean_up, housekeeping.purge),
):
    app.command(command.__name__.replace("_", "-"))(command)
app.add_typer(rejected, name="rejected")


def main() -> None:
    """Run the command line. A failure is printed as a sentence: exit code 2 for a UserError, 1 for a failed run."""
    configure_allocator()
    run_command(app)
