"""What `sessions-platform doctor` says of Dagster: its home, and whether a daemon is running.

Not here: everything else that it looks at (`operations/doctor.py`).
"""

import os
import time
from collections.abc import Iterator

import dagster as dg

from sessions_platform.operations.doctor import Finding, Outcome
from sessions_platform.orchestration.dagster_home import dagster_home_folder
from sessions_platform.settings import Settings

_RECENT = 120  # seconds; a daemon's heartbeat comes every 30
_START = "run `sessions-platform dev`, for sensors and schedules"


def examine_dagster(settings: Settings) -> Iterator[Finding]:
    """The home of the Dagster instance, and the newest heartbeat of its daemon; no home is made."""
    home = dagster_home_folder(settings, os.environ)
    if os.environ.get("DAGSTER_HOME") and not home.is_dir():
        yield Finding(
            "dagster home", Outcome.fail, f"DAGSTER_HOME: {home} is no folder", "make it, or unset DAGSTER_HOME"
        )
        return
    if not (home / "dagster.yaml").exists():
        yield Finding("dagster home", Outcome.ok, f"{home}, made when it is needed")
        return
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            heartbeats = list(instance.get_daemon_heartbeats().values())
    except Exception as error:  # whatever its storage raises
        fix = "correct its dagster.yaml, or DAGSTER_POSTGRES_URL"
        yield Finding("dagster home", Outcome.fail, f"{home}: {type(error).__name__}", fix)
        return
    yield Finding("dagster home", Outcome.ok, str(home))
    newest = max((heartbeat.timestamp for heartbeat in heartbeats), default=None)
    failing = sorted(heartbeat.daemon_type for heartbeat in heartbeats if heartbeat.errors)
    yield daemon(None if newest is None else time.time() - newest, failing)


def daemon(age: float | None, failing: list[str]) -> Finding:
    """What the newest heartbeat says.

    Args:
        age: its age in seconds; None where there never was one.
        failing: the daemons whose last heartbeat had errors.
    """
    if age is None or age > _RECENT:
        since = "it never ran here" if age is None else f"its last heartbeat was {age / 60:,.0f} minutes ago"
        return Finding("daemon", Outcome.ok, f"not running; {since}", _START)
    if failing:
        return Finding("daemon", Outcome.warn, f"running, with errors in {', '.join(failing)}", "see its log")
    return Finding("daemon", Outcome.ok, f"running; its last heartbeat was {age:.0f} seconds ago")
