"""The sensor `ended_runs`, which tells runs that have ended to tracing and lineage servers where the environment names
one.

It reads Dagster's storage, as alerts do: a run does not wait for a server that is slow, and none is lost where a server
is down, or where a run was killed. A run may be told twice, by the same ids. Not here: what is told (`traces.py`,
`open_lineage.py`).
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import dagster as dg

from sessions_platform.errors import MissingExtraError
from sessions_platform.orchestration.ended_runs import EndedRun, a_day_ago, ended_since
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database

_TICK_SECONDS = 30
_RUNS_OF_A_TICK = 50
_SECONDS_OF_A_RECEIVER = 15  # Dagster ends a tick after a minute, and would forget what it has told
# A run that ended may show in Dagster's storage a little after one that ended later.
_OVERLAP_SECONDS = 300.0
_TRACES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_LINEAGE = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")

# Libraries quote URLs in their errors.
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")

Upstream = Callable[[dg.AssetKey], list[dg.AssetKey]]


class Receiver(Protocol):
    """Whom runs are told."""

    def tell(self, run: EndedRun) -> None:
        """Tell a run. Raises where it was not taken."""


def ended_runs_sensor() -> list[dg.SensorDefinition]:
    """The sensor, which is on by itself; none where the environment names nobody."""
    if not any(os.environ.get(name) for name in (*_TRACES, *_LINEAGE)):
        return []

    @dg.sensor(
        name="ended_runs",
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells runs that have ended to the servers that OTEL_EXPORTER_OTLP_… and OPENLINEAGE_… name.",
    )
    def ended_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        graph = context.repository_def.asset_graph if context.repository_def else None
        named = receivers(lambda asset: sorted(graph.get(asset).parent_keys) if graph and graph.has(asset) else [])
        told = tell_ended_runs(context.instance, named, json.loads(context.cursor or "{}"))
        context.update_cursor(json.dumps(told.cursor))
        return dg.SkipReason("; ".join([f"told {told.count}", *told.failed]))

    return [ended_runs]


def receivers(upstream: Upstream) -> dict[str, Callable[[], Receiver]]:
    """Whom the environment names, by the name under which the cursor has it, each to be made when it is told something.

    Making one raises MissingExtraError where the package that it takes is not installed, and what its library raises
    where a variable can't be used.
    """
    named: dict[str, Callable[[], Receiver]] = {}
    if any(os.environ.get(name) for name in _TRACES):
        named["OpenTelemetry"] = _traces
    if any(os.environ.get(name) for name in _LINEAGE):
        named["OpenLineage"] = partial(_lineage, upstream)
    return named


def _traces() -> Receiver:
    with _extra("otlp"):
        from sessions_platform.orchestration.traces import Traces
    return Traces()


def _lineage(upstream: Upstream) -> Receiver:
    with _extra("openlineage"):
        from sessions_platform.orchestration.open_lineage import OpenLineage
    return OpenLineage(upstream, Database(Settings.from_environment()).url)


@dataclass
class Told:
    """What a look has told: how many runs (for each receiver), why it ended early, and the cursor for the next."""

    count: int
    failed: list[str]
    cursor: dict[str, Any]


def tell_ended_runs(
    instance: dg.DagsterInstance, named: Mapping[str, Callable[[], Receiver]], cursor: Mapping[str, Any]
) -> Told:
    """Tell each receiver the runs that have ended since it was told last; from a day ago, where it is new.

    One that does not take a run is told the same run first by the next look; the others go on. After some seconds the
    look ends, and the next one goes on where it ended.

    Args:
        instance: where runs are recorded.
        named: who is told, as `receivers` gives them.
        cursor: of the look before; by receiver the Unix time from which runs were told, and those that were, with
            their ends.
    """
    made = Told(0, [], dict(cursor))
    for name, receiver in named.items():
        state = cursor.get(name) or {"since": a_day_ago().timestamp(), "told": {}}
        told = dict(state["told"])
        try:
            made.count += _tell(instance, receiver(), datetime.fromtimestamp(state["since"], UTC), told)
        except Exception as error:  # of libraries that raise what they like
            made.failed.append(f"{name}: {_USER_INFO.sub('', str(error))}")
        since = max([state["since"] + _OVERLAP_SECONDS, *told.values()]) - _OVERLAP_SECONDS
        made.cursor[name] = {"since": since, "told": {run: ended for run, ended in told.items() if ended >= since}}
    return made


def _tell(instance: dg.DagsterInstance, receiver: Receiver, since: datetime, told: dict[str, float]) -> int:
    """Tell a receiver runs, and add each that it has taken to those that were told; how many it were."""
    until, count = time.monotonic() + _SECONDS_OF_A_RECEIVER, 0
    for ended, run in ended_since(instance, since, dict(told), _RUNS_OF_A_TICK):
        receiver.tell(run)
        told[run.run_id] = ended
        count += 1
        if time.monotonic() > until:
            break
    return count


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or name, name) from error
