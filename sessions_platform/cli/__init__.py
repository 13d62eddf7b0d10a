"""The command line `sessions-platform`: arguments and output of the functions that the UI and sensors use too.

Here is the table of commands; a command's options, help texts and how results are printed are in the modules that it
names. Not here: what a command does, which is in `operations`, or in `orchestration/commands.py` where it starts runs.
A command imports what it needs when it runs: polars and psycopg together take a good part of a second, Dagster one and
more.
"""

import gc
import os

import click

from sessions_platform.allocator import configure_allocator
from sessions_platform.cli.failures import run_command
from sessions_platform.cli.lazy_group import Entry, LazyGroup

_MODULES = "sessions_platform.cli"
# Imports make tens of thousands of objects that stay. By Python's own threshold of 700, looking for garbage among them
# takes a tenth of a small command's time.
_OBJECTS_BETWEEN_COLLECTIONS = 200_000

COMMANDS = {
    "demo": Entry(f"{_MODULES}.run:demo", "Write a week of events, materialize them, show the result."),
    "dev": Entry(f"{_MODULES}.run:dev", "Start the UI and the daemon."),
    "init": Entry(f"{_MODULES}.init:init", "Write the stream that reads files of unknown kind."),
    "ingest": Entry(f"{_MODULES}.run:ingest", "Ingest files, and refresh all affected sessions."),
    "run": Entry(f"{_MODULES}.run:run", "Ingest what is pending, and refresh all stale sessions."),
    "rebuild": Entry(f"{_MODULES}.run:rebuild", "Recompute everything of a stream, and swap it in at once."),
    "deliver": Entry(f"{_MODULES}.deliver:deliver", "Deliver sessions to a stream's targets."),
    "erase": Entry(f"{_MODULES}.erase:erase", "Erase users from everything that is stored."),
    "drop": Entry(f"{_MODULES}.drop:drop", "Remove a stream that is no longer wanted."),
    "preview": Entry(f"{_MODULES}.preview:preview", "Show what rows of files become; nothing is stored."),
    "diff": Entry(f"{_MODULES}.diff:diff", "Show what a changed definition would do; nothing is stored."),
    "check": Entry(f"{_MODULES}.check:check", "Read the files of streams, without a database."),
    "presets": Entry(f"{_MODULES}.presets:presets", "List the tools whose files a stream reads by a name."),
    "status": Entry(f"{_MODULES}.query:status", "Show what streams contain, and what is pending or stale."),
    "report": Entry(f"{_MODULES}.report:report", "Write a page with pictures of a stream's sessions."),
    "scores": Entry(f"{_MODULES}.scores:scores", "List scores with their models, and how good those are."),
    "train": Entry(f"{_MODULES}.scores:train", "Train the models of a stream's scores, and score its sessions."),
    "files": Entry(f"{_MODULES}.query:files", "List the lake files with the current rows of an asset."),
    "sql": Entry(f"{_MODULES}.query:sql", "Query the warehouse, read-only."),
    "reader-url": Entry(f"{_MODULES}.query:reader_url", "Print where readers log in to the embedded PostgreSQL."),
    "verify": Entry(f"{_MODULES}.verification:verify", "Hold lake, ledger and warehouse against each other."),
    "clean-up": Entry(f"{_MODULES}.housekeeping:clean_up", "Remove what is superseded, after the retention."),
    "purge": Entry(f"{_MODULES}.housekeeping:purge", "Delete old runs and ticks from Dagster's storage."),
    "dbt": Entry(f"{_MODULES}.dbt:dbt", "Write a stream's tables as sources of dbt."),
    "metrics": Entry(f"{_MODULES}.metrics:metrics", "Serve metrics for Prometheus, or write them to a file."),
    "dashboards": Entry(f"{_MODULES}.dashboards:dashboards", "Write Grafana's dashboards and Prometheus' alert rules."),
    "alerts": Entry(f"{_MODULES}.alerts:alerts", "Tell channels what is wrong, and when it is over."),
    "doctor": Entry(f"{_MODULES}.doctor:doctor", "Say what the platform lacks here, and what to do."),
    "open": Entry(f"{_MODULES}.open:open_page", "Print the URL of a stream's page in the UI, and open it."),
    "completion": Entry(f"{_MODULES}.completion:completion", "Print the script by which a shell completes."),
    "rejected": Entry(f"{_MODULES}.rejected:rejected", "The dead-letter queue: list, show, export, replay, discard."),
}


def _show_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"sessions-platform {version('sessions-platform')}")
        ctx.exit()


app = LazyGroup(
    COMMANDS,
    name="sessions-platform",
    help="Raw event files in, a table of sessions out.",
    epilog="""Each command has a --help of its own.

    Exit codes: 0 done; 1 failed; 2 what was asked is wrong, or a stream's file; 3 done, and something needs attention;
    130 interrupted.""",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version and exit.",
        )
    ],
)


def main() -> None:
    """Run the command line. A failure is printed as a sentence: exit code 2 for a UserError, 1 for a failed run."""
    configure_allocator()
    os.environ.setdefault(
        "PYDANTIC_DISABLE_PLUGINS", "__all__"
    )  # else it asks each installed package whether it is one
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    try:
        run_command(app)
    finally:
        gc.freeze()  # as it ends, Python looks for garbage once more, several times and among all objects
