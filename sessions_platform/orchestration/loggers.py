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


class _Steps(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        if isinstance(event, dg.DagsterEvent) and event.event_type in _SHOWN:
            print(f"  {_SHOWN[event.event_type]} {event.step_key}", file=sys.stderr, flush=True)


@dg.logger(description="One line a step, on standard error.")
def progress(_context: dg.InitLoggerContext) -> logging.Logger:
    logger = logging.Logger("sessions_platform.progress", logging.DEBUG)
    logger.addHandler(_Steps())
    return logger
