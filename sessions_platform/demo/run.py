"""The demo: a week of events, through every asset, into PostgreSQL.

Here belong its steps and what is printed. The events themselves are in `events.py`.
"""

import os

from rich.console import Console
from rich.table import Table

from sessions_platform.demo.events import Planted, land_week
from sessions_platform.settings import Settings, make_home

STREAM = "web_shop"


def run_demo(settings: Settings) -> None:
    """Write the week, materialize all assets of it in one Dagster run, and print a summary."""
    console = Console(stderr=True)
    console.print("[bold]1[/] Writing a week of landing files, with some events broken on purpose")
    make_home(settings.home)
    planted = land_week(settings.home / "landing" / STREAM)
    console.print(f"  ✓ {planted.lines:,} lines in {settings.home / 'landing' / STREAM}")
    _materialize(settings, console)
    _print_summary(settings, planted)


def _materialize(settings: Settings, console: Console) -> None:
    from sessions_platform.contracts.calendar import newest_partition
    from sessions_platform.orchestration.jobs import job_name
    from sessions_platform.orchestration.runs import runner
    from sessions_platform.pipeline.context import open_contexts

    (stream_context,) = open_contexts(settings, [STREAM])
    calendar = stream_context.stream.landing_calendar
    week = calendar.first_key, newest_partition(calendar)
    with runner(settings) as runs:
        console.print("[bold]2[/] Materializing every asset of the week through Dagster, in one run")
        runs.run(job_name(stream_context.stream, "materialize_all"), week)
        console.print("[bold]3[/] Recomputing the sessions of some users with the reference implementation")
        runs.run(job_name(stream_context.stream, "audit_sample"))


def _print_summary(settings: Settings, planted: Planted) -> None:
    from sessions_platform.operations.status import status
    from sessions_platform.pipeline.context import open_contexts

    (stream_context,) = open_contexts(settings, [STREAM])
    stats = status(stream_context)
    actions = stream_context.database.query(
        f"select primary_action, count(*) as sessions from {STREAM}.sessions group by 1 order by 2 desc, 1 limit 5"
    )
    console = Console()
    console.print()
    console.print(_counts(stats, planted))
    console.print(_pairs("Rejected, by reason", "rows", stats["rejected_by_reason"]))
    console.print(
        _pairs("Top primary actions", "sessions", {row["primary_action"]: row["sessions"] for row in actions})
    )
    _point_further(console, settings)


def _counts(stats: dict, planted: Planted) -> Table:
    rejected = stats["rejected"]
    balance = stats["raw_rows"] - stats["accepted"] - rejected - stats["duplicates"] - stats["skipped"]
    table = Table(title=f"{STREAM}: nothing lost, {balance} rows unaccounted for", title_justify="left")
    table.add_column("what")
    table.add_column("rows", justify="right")
    table.add_row("raw", f"{stats['raw_rows']:,}")
    table.add_row("  accepted", f"{stats['accepted']:,}")
    table.add_row("  rejected, kept whole with reasons", f"{rejected:,}")
    table.add_row("  duplicates within a day's landing", f"{stats['duplicates']:,}")
    table.add_row("events in sessions", f"{stats['events_in_sessions']:,}")
    table.add_row(
        "  left out: landed again on another day", f"{stats['duplicates_across'] + stats['conflicts_across']:,}"
    )
    table.add_row("  of these, delivered days late", f"{planted.late:,}")
    table.add_row("sessions", f"{stats['sessions']:,}")
    table.add_row("users", f"{stats['users']:,}")
    return table


def _pairs(title: str, counted: str, pairs: dict) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column(counted, justify="right")
    for name, count in pairs.items():
        table.add_row(name, f"{count:,}")
    return table


def _point_further(console: Console, settings: Settings) -> None:
    program = "sessions-platform" if "VIRTUAL_ENV" in os.environ else ".venv/bin/sessions-platform"
    console.print("[bold]Where to look next[/]")
    console.print("  make dev                       the UI: asset graph, checks, plots")
    console.print(f"  {program} status {STREAM}")
    console.print(f'  {program} sql "select * from {STREAM}.sessions order by event_count desc limit 5"')
    console.print(f'  {program} sql "select payload, reasons from {STREAM}.rejected_events limit 5"')
    console.print(f"  everything is stored in {settings.home}", soft_wrap=True)
