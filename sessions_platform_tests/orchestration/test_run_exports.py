"""Runs that have ended are told to tracing and lineage servers: whole, without payloads, and again where one was down.

The servers are stand-ins that keep what the real client libraries send; no collector or catalogue is run.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from uuid import UUID, uuid4

import dagster as dg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sessions_platform.errors import RunFailedError
from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.orchestration.ended_runs import EndedRun, EndedStep
from sessions_platform.orchestration.open_lineage import OpenLineage
from sessions_platform.orchestration.run_exports import Receiver, ended_runs_sensor, receivers, tell_ended_runs
from sessions_platform.orchestration.runs import runner
from sessions_platform_tests.orchestration.conftest import Home

DAY, CANARY = "2026-01-01", "canary-user"
UPSTREAM = {"events": ["raw_events"], "rejected_events": ["raw_events"], "sessionized_events": ["events"]}


class Servers:
    """A collector and a catalogue in one; what is posted under a path that `refuses` has is refused and not kept."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.posted: list[tuple[str, bytes]] = []
        self.refuses: set[str] = set()

    def take(self) -> tuple[list[Span], list[dict[str, Any]]]:
        """The spans and the lineage events since the last time."""
        spans: list[Span] = []
        events: list[dict[str, Any]] = []
        for path, body in self.posted:
            if path == "/api/v1/lineage":
                events.append(json.loads(body))
                continue
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                spans += [span for scope in resource.scope_spans for span in scope.spans]
        self.posted.clear()
        return spans, events


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            refused = self.path in made.refuses
            if not refused:
                made.posted.append((self.path, body))
            self.send_response(400 if refused else 200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Servers(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", made.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setenv("OPENLINEAGE_URL", made.url)
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


class Exports:
    """The sensor's looks, from the moment on at which this was made."""

    def __init__(self, home: Home) -> None:
        self.home = home
        now: dict[str, Any] = {"since": time.time(), "told": {}}
        self.cursor: dict[str, Any] = {"OpenTelemetry": now, "OpenLineage": now}

    def look(self) -> list[str]:
        """Tell what was not told; why somebody was not."""
        with dg.DagsterInstance.from_config(str(dagster_home(self.home.settings, os.environ))) as instance:
            told = tell_ended_runs(instance, receivers(upstream), self.cursor)
        self.cursor = json.loads(json.dumps(told.cursor))
        return told.failed


def upstream(asset: dg.AssetKey) -> list[dg.AssetKey]:
    return [dg.AssetKey([asset.path[0], name]) for name in UPSTREAM.get(asset.path[-1], [])]


def materialize(home: Home) -> None:
    """A run, which may fail."""
    with runner(home.settings) as runs, suppress(RunFailedError):
        runs.run(f"{home.name}__ingest_events", (DAY, DAY))


@pytest.mark.slow
def test_a_run_is_told_whole_and_once_to_each_server_however_long_it_is_down(home: Home, servers: Servers) -> None:
    exports = Exports(home)
    home.write_stream()
    home.ingest(1, "a", ("ann", 0, "e1"), ("ann", 1, "e2"), (CANARY, 1, "e3"))
    materialize(home)
    servers.refuses = {"/v1/traces"}
    assert [reason.partition(":")[0] for reason in exports.look()] == ["OpenTelemetry"]
    spans, events = servers.take()
    assert (spans, len(events)) == ([], 4)
    servers.refuses = set()
    assert exports.look() == []
    spans, none = servers.take()
    assert none == []
    whole, *steps = spans
    (run,) = {str(UUID(bytes=span.trace_id)) for span in spans}
    assert run in {each.value.string_value for each in whole.attributes}
    assert [step.name for step in steps] == [f"{home.name}__raw_events", f"{home.name}__validated_events"]
    assert {step.parent_span_id for step in steps} == {whole.span_id}
    assert all(whole.start_time_unix_nano <= step.start_time_unix_nano for step in steps)
    assert all(step.start_time_unix_nano < step.end_time_unix_nano <= whole.end_time_unix_nano for step in steps)
    rows = {each.key: each.value.int_value for step in steps for each in step.attributes if ".rows." in each.key}
    assert rows["sessions_platform.rows.raw_events"] == rows["sessions_platform.rows.events"] == 3
    raw, accepted = f"{home.name}.raw_events", f"{home.name}.events"
    assert [event["eventType"] for event in events] == ["START", "COMPLETE", "START", "COMPLETE"]
    assert {output["name"] for output in events[3]["outputs"]} >= {accepted}
    assert [read["name"] for read in events[3]["inputs"]] == [raw]
    assert events[1]["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"] == 3
    assert {event["run"]["facets"]["parent"]["run"]["runId"] for event in events} == {run}
    assert CANARY not in str(spans) + str(events)
    assert (exports.look(), servers.posted) == ([], [])


@pytest.mark.slow
def test_a_failed_run_is_told_with_its_reason_and_without_a_payload(home: Home, servers: Servers) -> None:
    exports = Exports(home)
    home.write_stream(rejected={"fail_above": "1%"})
    home.ingest(1, "a", ("ann", 0, "e1"), ("", 1, CANARY))
    materialize(home)
    assert exports.look() == []
    spans, events = servers.take()
    assert [span.status.code for span in spans] == [
        Status.STATUS_CODE_ERROR,
        Status.STATUS_CODE_OK,
        Status.STATUS_CODE_ERROR,
    ]
    assert events[-1]["eventType"] == "FAIL"
    message = events[-1]["run"]["facets"]["errorMessage"]["message"]
    assert spans[-1].status.message == message
    assert "rejection_rate failed" in message
    assert CANARY not in str(spans) + str(events)


@pytest.mark.parametrize(
    ("status", "ended"), [(dg.DagsterRunStatus.FAILURE, "FAIL"), (dg.DagsterRunStatus.CANCELED, "ABORT")]
)
def test_a_step_that_says_no_end_ended_as_its_run(
    status: dg.DagsterRunStatus,
    ended: str,
    servers: Servers,  # noqa: ARG001  where the client would send to
) -> None:
    step = EndedStep("shop__sessions", 1.0, 2.0, succeeded=False, failure=None, retries=0, written=[])
    run = EndedRun(str(uuid4()), "job", "shop", DAY, status, 1.0, 2.0, [step])
    events = OpenLineage(upstream, "postgresql://host/db").events(run, step)
    assert [event.eventType.name for event in events if event.eventType] == ["START", ended]


def test_there_is_no_sensor_where_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("OTEL_", "OPENLINEAGE_"))]:
        monkeypatch.delenv(name)
    assert ended_runs_sensor() == []
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:1")
    (sensor,) = ended_runs_sensor()
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


class NoRuns:
    """An instance that nothing has run in."""

    def get_run_records(self, *_: object, **__: object) -> list[dg.RunRecord]:
        return []


@pytest.mark.usefixtures("servers")
def test_a_variable_that_is_wrong_hinders_no_other_server_and_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_URL", "localhost:5000")
    since = {"since": 1.0, "told": {}}
    told = tell_ended_runs(cast("dg.DagsterInstance", NoRuns()), receivers(upstream), {"OpenLineage": since})
    assert [reason.partition(":")[0] for reason in told.failed] == ["OpenLineage"]
    assert told.cursor["OpenLineage"] == since
    assert "OpenTelemetry" in told.cursor


def test_an_error_that_quotes_a_url_shows_no_password() -> None:
    def refused() -> Receiver:
        raise ConnectionError("401 Unauthorized for url: http://me:s3cr3t@catalogue:5000/api/v1/lineage")

    (reason,) = tell_ended_runs(cast("dg.DagsterInstance", NoRuns()), {"OpenLineage": refused}, {}).failed
    assert reason == "OpenLineage: 401 Unauthorized for url: http://catalogue:5000/api/v1/lineage"
