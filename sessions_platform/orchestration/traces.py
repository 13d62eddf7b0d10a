"""Ended runs as OpenTelemetry traces: a span for the run, and one within it for each step.

The ids of a trace and its spans follow from the ids of the run and its steps, so that a run that is told twice is the
same trace twice. Not here: how runs are read (`ended_runs.py`), and when they are told (`run_exports.py`).
"""

import hashlib
import uuid
from collections.abc import Iterator

import dagster as dg
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from sessions_platform.orchestration.ended_runs import EndedRun, EndedStep

_NANOSECONDS = 1_000_000_000


class Traces:
    """Sends traces by OTLP over HTTP to where the variables OTEL_EXPORTER_OTLP_… say."""

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter()
        self._resource = Resource.create({SERVICE_NAME: "sessions_platform"})  # OTEL_SERVICE_NAME has precedence

    def tell(self, run: EndedRun) -> None:
        """Send the spans of a run.

        Raises:
            ConnectionError: the collector did not take them.
        """
        if self._exporter.export(list(spans_of(run, self._resource))) is not SpanExportResult.SUCCESS:
            raise ConnectionError("the collector does not take spans: see OTEL_EXPORTER_OTLP_ENDPOINT")


def spans_of(run: EndedRun, resource: Resource) -> Iterator[ReadableSpan]:
    """The span of a run, then those of its steps."""
    whole = _context(run, "")
    failed = run.status is not dg.DagsterRunStatus.SUCCESS
    yield ReadableSpan(
        name=run.job,
        context=whole,
        resource=resource,
        attributes=_stated(
            {
                "dagster.run_id": run.run_id,
                "dagster.status": run.status.value,
                "sessions_platform.stream": run.stream,
                "sessions_platform.partitions": run.partitions,
            }
        ),
        status=Status(StatusCode.ERROR, run.status.value.lower()) if failed else Status(StatusCode.OK),
        start_time=int(run.began * _NANOSECONDS),
        end_time=int(run.ended * _NANOSECONDS),
    )
    for step in run.steps:
        yield ReadableSpan(
            name=step.name,
            context=_context(run, step.name),
            parent=whole,
            resource=resource,
            attributes=_stated({"sessions_platform.retries": step.retries, **_rows(step)}),
            status=Status(StatusCode.OK)
            if step.succeeded
            else Status(StatusCode.ERROR, step.failure or "it did not end"),
            start_time=int(step.began * _NANOSECONDS),
            end_time=int(step.ended * _NANOSECONDS),
        )


def _context(run: EndedRun, step: str) -> SpanContext:
    span = hashlib.sha256(f"{run.run_id}/{step}".encode()).digest()[:8]
    return SpanContext(uuid.UUID(run.run_id).int, int.from_bytes(span, "big"), False, TraceFlags(TraceFlags.SAMPLED))


def _rows(step: EndedStep) -> dict[str, int]:
    return {
        f"sessions_platform.rows.{each.asset.path[-1]}": each.rows for each in step.written if each.rows is not None
    }


def _stated(attributes: dict[str, str | int]) -> dict[str, str | int]:
    return {name: value for name, value in attributes.items() if value != ""}
