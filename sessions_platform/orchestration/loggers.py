"""Two loggers for runs, besides Dagster's own: JSON lines for machines, and one line a step for people.

Neither writes metadata, because it contains samples of rejected payloads. For the same reason Dagster's own JSON logger
is not used: it writes events with all of their metadata. Not here: the form of the JSON (`operations/log_lines.py`).
"""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from sessions_platform.operations.log_lines import log_line
from sessions_platform.orchestration.jobs import RANGE_END, RANGE_START
from sessions_platform.orchestration.loaded_streams import STREAM

_RUN = "sessions_platform.run"
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_TOLD = {
    dg.DagsterEventType.RUN_START,
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_CANCELED,
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
    dg.DagsterEventType.STEP_RESTARTED,
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
}
_MARKS = {
    dg.DagsterEventType.STEP_START: "…",
    dg.DagsterEventType.STEP_SUCCESS: "✓",
    dg.DagsterEventType.STEP_FAILURE: "✗",
    dg.DagsterEventType.STEP_UP_FOR_RETRY: "↻",
}


class _StepHandler(logging.StreamHandler):
    """Writes a line for the start and the end of each step, and ignores all other records."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _step_event(record) is not None

    def format(self, record: logging.LogRecord) -> str:
        event = _step_event(record)
        return f"  {_MARKS[event.event_type]} {event.step_key}" if event else ""


def _step_event(record: logging.LogRecord) -> dg.DagsterEvent | None:
    event = getattr(record, "dagster_meta", {}).get("dagster_event")
    return event if isinstance(event, dg.DagsterEvent) and event.event_type in _MARKS else None


def _progress(_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("sessions_platform.progress", logging.DEBUG)
    logger.addHandler(_StepHandler(sys.stderr))
    return logger


class _RunHandler(logging.StreamHandler):
    """Writes records of a level and above, where events that people look for count as information."""

    def __init__(self, least: int) -> None:
        super().__init__(sys.stderr)
        self._least = least  # not the handler's own level, which is compared with the record's as Dagster gives it

    def filter(self, record: logging.LogRecord) -> bool:
        return _level_of(record) >= self._least


def _level_of(record: logging.LogRecord) -> int:
    """Dagster gives all events but failures the level DEBUG."""
    event = getattr(record, "dagster_meta", {}).get("dagster_event")
    is_told = isinstance(event, dg.DagsterEvent) and event.event_type in _TOLD
    return max(record.levelno, logging.INFO) if is_told else record.levelno


class _RunFormatter(logging.Formatter):
    """A log line (`operations/log_lines.py`) of a record, whatever else the record has."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        meta = getattr(record, "dagster_meta", {})
        event, job, tags = meta.get("dagster_event"), meta.get("job_name"), meta.get("job_tags") or {}
        return log_line(
            logging.getLevelName(_level_of(record)),
            _RUN,
            _said(record, meta, event),
            datetime.fromtimestamp(record.created, UTC),
            run_id=meta.get("run_id"),
            job=job,
            stream=tags.get(STREAM) or _stream_of(meta.get("step_key")),
            step=meta.get("step_key"),
            partition=_partition_of(event, tags),
            **_measured(event),
        )


def _said(record: logging.LogRecord, meta: Mapping[str, Any], event: Any) -> str:
    """The message without what the other fields have; of a failure, with its reason and without a traceback."""
    message = meta.get("orig_message") or record.getMessage()
    if not (isinstance(event, dg.DagsterEvent) and event.is_step_failure):
        return message
    failure = event.step_failure_data
    stated = failure.user_failure_data.description if failure.user_failure_data else None
    error = failure.error.cause or failure.error if failure.error else None
    return "\n".join(filter(None, [message, stated or (error.message.strip() if error else None)]))


def _stream_of(step: str | None) -> str | None:
    """The stream of a step; runs of assets that were chosen in the UI have no tag of it."""
    return step.partition("__")[0] if step and "__" in step else None


def _partition_of(event: Any, tags: Mapping[str, str]) -> str | None:
    """The partition of a materialization, else the run's, as in `2026-01-01..2026-01-07`."""
    if isinstance(event, dg.DagsterEvent) and event.is_step_materialization and event.partition:
        return event.partition
    first, last = tags.get(RANGE_START), tags.get(RANGE_END)
    return tags.get("dagster/partition") or (first if first == last else f"{first}..{last}")


def _measured(event: Any) -> dict[str, Any]:
    """What an event of Dagster measures: its type, rows that were written, seconds that a step took."""
    if not isinstance(event, dg.DagsterEvent):
        return {}
    rows = seconds = None
    if event.is_step_materialization:
        counted = event.step_materialization_data.materialization.metadata.get("dagster/row_count")
        rows = counted.value if isinstance(counted, dg.IntMetadataValue) else None
    elif event.is_step_success:
        seconds = round(event.step_success_data.duration_ms / 1000, 3)
    return {"type": event.event_type_value, "rows": rows, "seconds": seconds}


def _json_lines(context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("sessions_platform.json", logging.DEBUG)
    handler = _RunHandler(getattr(logging, context.logger_config["log_level"]))
    handler.setFormatter(_RunFormatter())
    logger.addHandler(handler)
    return logger


progress = dg.LoggerDefinition(_progress, description="One line a step, on standard error.")
json_lines = dg.LoggerDefinition(
    _json_lines,
    config_schema={"log_level": dg.Field(dg.Enum("Level", list(map(dg.EnumValue, _LEVELS))), default_value="INFO")},
    description="One JSON document a line, on standard error; no metadata.",
)
