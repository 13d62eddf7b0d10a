"""A small week as the demo serves it, and what its stream makes of it: shared by the tests of each server."""

from pathlib import Path
from typing import Any

import yaml

from sessions_platform.contracts.calendar import newest_partition
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.demo.events import land_week, lines_of_week
from sessions_platform.demo.served import served
from sessions_platform.demo.served_by import ServedBy
from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.settings import DEMO_STREAMS, Settings
from sessions_platform_tests.pipeline.steps import RUN, table

EVENTS = 1_500
_COUNTED = ("raw_rows", "accepted", "rejected", "rejected_by_reason", "duplicates", "events_in_sessions")
_OWN = ("loaded_at", "session_rule_version")


def outcome(context: StreamContext) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read all that is new, as the demo's run does; what is counted then, and the table of sessions."""
    calendar = context.stream.landing_calendar
    run_pipeline(context, calendar.keys_between(calendar.first_key, newest_partition(calendar)), RUN)
    told = status(context)
    sessions = [{name: value for name, value in row.items() if name not in _OWN} for row in table(context)]
    return {name: told[name] for name in _COUNTED}, sessions


def of_files(settings: Settings, folder: Path, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The outcome of the plain demo."""
    land_week(folder / "landing" / "web_shop", EVENTS)
    stream = yaml.safe_load((DEMO_STREAMS / "web_shop.yaml").read_text())
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**stream, "name": name}, sort_keys=False))
    return outcome(StreamContext.open(load_stream(file, folder), settings))


def served_twice_is_as_files(by: ServedBy, settings: Settings, folder: Path) -> None:
    """Read the week from a server, and from the server started again, which has nothing new."""
    expected = of_files(settings, folder, f"plain_{by}")
    lines, planted = lines_of_week(EVENTS)
    assert expected[0]["raw_rows"] == planted.lines
    assert len(expected[1]) > 100
    for _ in range(2):
        with served(by, folder, lines) as stream:
            file = stream.folder / f"{stream.name}.yaml"
            assert outcome(StreamContext.open(load_stream(file, folder), settings)) == expected
