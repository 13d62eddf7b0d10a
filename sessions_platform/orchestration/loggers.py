"""Two ways to follow a run beside Dagster's own: JSON lines for machines, one line a step for people."""

import json
import logging
import sys
from datetime import UTC, datetime

import dagster as dg

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_SHOWN = {
    dg.DagsterEventType.STEP_START: "…",
    dg.DagsterEventType.STEP_SUCCESS: "✓",
    dg.DagsterEventType.STEP_FAILURE: "✗",
    dg.DagsterEventType.STEP_UP_FOR_RETRY: "↻",
}


class _Steps(logging.StreamHandler):
    """Writes a line for what people follow, and passes over the rest."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _step_event(record) is not None

    def format(self, record: logging.LogRecord) -> str:
        event = _step_event(record)
        return f"  {_SHOWN[event.event_type]} {event.step_key}" if event else ""


def _step_event(record: logging.LogRecord) -> dg.DagsterEvent | None:
    event = getattr(record, "dagster_meta", {}).get("dagster_event")
    return event if isinstance(event, dg.DagsterEvent) and event.event_type in _SHOWN else None


def _progress(_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("sessions_platform.progress", logging.DEBUG)
    logger.addHandler(_Steps(sys.stderr))
    return logger


class _AsJson(logging.Formatter):
    """A line for what was said, when and by which step.

    Dagster's own JSON logger writes an event with all of its metadata, and so the samples of
    rejected payloads.
    """

    def format(self, record: logging.LogRecord) -> str:
        told = getattr(record, "dagster_meta", {})
        event = told.get("dagster_event")
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "message": record.getMessage(),
            "run_id": told.get("run_id"),
            "job": told.get("job_name"),
            "step": told.get("step_key"),
            "event": event.event_type_value if isinstance(event, dg.DagsterEvent) else None,
        }
        return json.dumps({key: value for key, value in line.items() if value is not None}, ensure_ascii=False)


def _json_lines(context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("sessions_platform.json", context.logger_config["log_level"])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_AsJson())
    logger.addHandler(handler)
    return logger


progress = dg.LoggerDefinition(_progress, description="One line a step, on standard error.")
json_lines = dg.LoggerDefinition(
    _json_lines,
    config_schema={"log_level": dg.Field(dg.Enum("Level", list(map(dg.EnumValue, _LEVELS))), default_value="INFO")},
    description="One JSON document a line, on standard error; no metadata.",
)
