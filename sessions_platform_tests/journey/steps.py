"""The stages of the journey in a row, and what the warehouse then holds."""

from collections.abc import Callable
from typing import Any

from sessions_platform.journey.judge import Judged, judge_partition, publish
from sessions_platform.journey.land import land
from sessions_platform.journey.load import LoadedSessions, load_sessions
from sessions_platform.journey.sessionize import sessionize_partitions
from sessions_platform.journey.status import landing_partitions_waiting
from sessions_platform.journey.workspace import Workspace
from sessions_platform_tests.memory_source import MemorySource

RUN = "a-run"


def put(workspace: Workspace, uri: str, lines: list[bytes], landing_partition: str | None) -> None:
    """Write or replace a landing file."""
    assert isinstance(workspace.source, MemorySource)
    workspace.source.put(uri, lines, landing_partition)


def remove(workspace: Workspace, uri: str) -> None:
    assert isinstance(workspace.source, MemorySource)
    workspace.source.remove(uri)


def take_in(workspace: Workspace, *landing_partitions: str) -> None:
    """Landing files to published events."""
    land(workspace, landing_partitions, RUN)
    for partition in landing_partitions:
        publish(workspace, judged(workspace, partition), RUN)


def judged(workspace: Workspace, landing_partition: str) -> Judged:
    return judge_partition(workspace, landing_partition, workspace.raw_events([landing_partition]))


def load(
    workspace: Workspace, *session_partitions: str, prove: Callable[..., None] = lambda *_: None
) -> LoadedSessions:
    """Load what was sessionized last."""
    return load_sessions(workspace, workspace.sessionized_events(session_partitions), RUN, prove)


def waiting(workspace: Workspace) -> list[str]:
    return workspace.ledger.waiting(workspace.stream.policy_version)


def refresh(workspace: Workspace) -> LoadedSessions | None:
    """Bring every session partition that waits up to date."""
    partitions = waiting(workspace)
    if not partitions:
        return None
    sessionize_partitions(workspace, partitions, RUN)
    return load(workspace, *partitions)


def take_in_what_waits(workspace: Workspace, newest: str | None = None) -> None:
    """Bring everything up to date, landing partitions and sessions."""
    if partitions := landing_partitions_waiting(workspace, newest):
        take_in(workspace, *partitions)
    refresh(workspace)


def table(workspace: Workspace, name: str = "sessions") -> list[dict[str, Any]]:
    """The whole table, with what the warehouse keeps by itself."""
    return workspace.database.query(f"select * from {workspace.stream.name}.{name} order by 1")
