"""Two ways to follow a run beside Dagster's own: JSON lines for machines, one line a step for people."""

import logging
import sys

import dagster as dg

json_lines = dg.json_console_logger

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


progress = dg.LoggerDefinition(_progress, description="One line a step, on standard error.")
