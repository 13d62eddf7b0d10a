"""The demo: a week of events, through every asset, into PostgreSQL.

Here belong its steps and what is printed. The events themselves are in `events.py`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from sessions_platform.demo.events import Planted, land_week, lines_of_week
from sessions_platform.demo.served import PLAIN, served
from sessions_platform.demo.served_by import ServedBy
from sessions_platform.settings import DEMO_LANDING, DEMO_STREAMS, Settings, make_home

if TYPE_CHECKING:
    from sessions_platform.pipeline.context import StreamContext

# Tables of the summary that count sessions: titles, and columns of the sessions table.
_SHOWN_BY = {"Sessions by channel": "channel", "Sessions by device": "device", "Top primary actions": "primary_action"}


@dataclass(frozen=True)
class _Week:
    """A stream whose source has the week: the settings that know it, its name, and what was planted."""

    settings: Settings
    stream: str
    planted: Planted
    streams: Path | None = None  # the folder of its file, where it is not the demo's own


def run_demo(settings: Settings, by: ServedBy | None = None) -> None:
    """Write the week, materialize all assets of it in one Dagster run, and print a summary.

    Args:
        settings: where everything is stored.
        by: the server that the week is read from, which runs as long as the demo does; None for files.

    Raises:
        UserError: the server is not installed, or does not start.
    """
    console = Console(stderr=True)
    console.print("[bold]1[/] Writing a week of landing files, with some events broken on purpose")
    make_home(settings.home)
    with _in_files(settings, console) if by is None else _on_server(settings, by, console) as week:
        _materialize(week, console)
        _print_summary(week)


@contextmanager
def _in_files(settings: Settings, console: Console) -> Iterator[_Week]:
    folder = settings.home / DEMO_LANDING
    planted = land_week(folder)
    console.print(f"  ✓ {planted.lines:,} lines in {folder}")
    own = (each for each in settings.streams if each != DEMO_STREAMS)
    yield _Week(replace(settings, streams=(DEMO_STREAMS, *own)), PLAIN, planted)


@contextmanager
def _on_server(settings: Settings, by: ServedBy, console: Console) -> Iterator[_Week]:
    lines, planted = lines_of_week()
    with served(by, settings.home, lines) as stream:
        console.print(f"  ✓ {planted.lines:,} lines in {by}, which runs until the demo ends")
        # The steps of a run have their settings from the environment.
        before = os.environ.get("SESSIONS_STREAMS")
        os.environ["SESSIONS_STREAMS"] = str(stream.folder)
        try:
            knowing = replace(settings, streams=(DEMO_STREAMS, stream.folder))
            yield _Week(knowing, stream.name, planted, stream.folder)
        finally:
            os.environ.pop("SESSIONS_STREAMS")
            os.environ |= {} if before is None else {"SESSIONS_STREAMS": before}


def _materialize(week: _Week, console: Console) -> None:
    from sessions_platform.contracts.calendar import newest_partition
    from sessions_platform.orchestration.jobs import job_name
    from sessions_platform.orchestration.runs import runner
    from sessions_platform.pipeline.context import open_contexts

    (stream_context,) = open_contexts(week.settings, [week.stream])
    calendar = stream_context.stream.landing_calendar
    days = calendar.first_key, newest_partition(calendar)
    with runner(week.settings) as runs:
        console.print("[bold]2[/] Materializing every asset of the week through Dagster, in one run")
        runs.run(job_name(stream_context.stream, "materialize_all"), days)
        console.print("[bold]3[/] Recomputing the sessions of some users with the reference implementation")
        runs.run(job_name(stream_context.stream, "audit_sample"))


def _print_summary(week: _Week) -> None:
    from sessions_platform.operations.status import status
    from sessions_platform.pipeline.context import open_contexts

    (stream_context,) = open_contexts(week.settings, [week.stream])
    stats = status(stream_context)
    console = Console()
    console.print()
    console.print(_counts(stats, week))
    console.print(_pairs("Rejected, by reason", "rows", stats["rejected_by_reason"]))
    for title, column in _SHOWN_BY.items():
        console.print(_pairs(title, "sessions", _sessions_by(stream_context, column)))
    _point_further(console, week)


def _sessions_by(stream_context: "StreamContext", column: str) -> dict[str, int]:
    """How many sessions have each value of the column, the most frequent five."""
    rows = stream_context.database.query(
        f"select coalesce({column}, '(none)') as value, count(*) as sessions from {stream_context.stream.name}.sessions"
        " group by 1 order by 2 desc, 1 limit 5"
    )
    return {row["value"]: row["sessions"] for row in rows}


def _counts(stats: dict, week: _Week) -> Table:
    rejected = stats["rejected"]
    balance = stats["raw_rows"] - stats["accepted"] - rejected - stats["duplicates"] - stats["skipped"]
    table = Table(title=f"{week.stream}: nothing lost, {balance} rows unaccounted for", title_justify="left")
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
    table.add_row("  of these, delivered days late", f"{week.planted.late:,}")
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


def _point_further(console: Console, week: _Week) -> None:
    program = "sessions-platform" if "VIRTUAL_ENV" in os.environ else ".venv/bin/sessions-platform"
    stream = week.stream
    console.print("[bold]Where to look next[/]")
    if week.streams is None:
        console.print("  make dev                       the UI: asset graph, checks, plots")
    else:
        console.print(f"  export SESSIONS_STREAMS={week.streams}", soft_wrap=True)
        console.print(f"  cat {week.streams / f'{stream}.yaml'}", soft_wrap=True)
    console.print(f"  {program} status {stream}")
    console.print(f'  {program} sql "select * from {stream}.sessions order by event_count desc limit 5"')
    console.print(f'  {program} sql "select payload, reasons from {stream}.rejected_events limit 5"')
    console.print(f"  everything is stored in {week.settings.home}", soft_wrap=True)
