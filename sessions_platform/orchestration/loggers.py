"""Two loggers for runs, besides Dagster's own: JSON lines for machines, and one line a step for people.

Neither writes metadata, because it contains samples of rejected payloads. For the same reason Dagster's own JSON logger
is not used: it writes events with all of their metadata.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pythonjsonlogger.json import JsonFormatter

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
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


class _RunFormatter(JsonFormatter):
    """A JSON document of these seven keys alone, whatever else a record has; those without a value are left out."""

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in log_data.items() if value is not None}

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],  # noqa: ARG002  as inherited
    ) -> None:
        meta = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        log_data.update(
            time=datetime.fromtimestamp(record.created, UTC).isoformat(),
            level=record.levelname,
            message=record.getMessage(),
            run_id=meta.get("run_id"),
            job=meta.get("job_name"),
            step=meta.get("step_key"),
            event=event.event_type_value if isinstance(event, dg.DagsterEvent) else None,
        )


def _json_lines(context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("sessions_platform.json", context.logger_config["log_level"])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_RunFormatter(json_ensure_ascii=False))
    logger.addHandler(handler)
    return logger


progress = dg.LoggerDefinition(_progress, description="One line a step, on standard error.")
json_lines = dg.LoggerDefinition(
    _json_lines,
    config_schema={"log_level": dg.Field(dg.Enum("Level", list(map(dg.EnumValue, _LEVELS))), default_value="INFO")},
    description="One JSON document a line, on standard error; no metadata.",
)
