"""The one form of log lines: of the command line, of runs, and of Dagster's services with `SESSIONS_LOG=json`.

One JSON document a line, an event each. Timestamp, level, logger and event are named as Dagster's own services name
them. Here belong the fields and how a line is made. Not here: who writes it (`cli/messages.py`,
`orchestration/loggers.py`). Run as `python -m sessions_platform.operations.log_lines docs/monitoring.md` it writes the
table of fields anew.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from sessions_platform.operations.json_text import json_of
from sessions_platform.operations.page_tables import write_table


class LogField(NamedTuple):
    """What a field says, and what it is called elsewhere."""

    meaning: str
    datadog: str
    splunk: str
    elastic: str
    loki: str


_ATTRIBUTE = ("attribute", "field")
FIELDS = {
    "timestamp": LogField("When, in UTC, ISO 8601.", "`date`", "`_time`", "`@timestamp`", "the entry's time"),
    "level": LogField(
        "`debug`, `info`, `warning`, `error` or `critical`.", "`status`", "`log_level`", "`log.level`", "label"
    ),
    "logger": LogField("Which part says it.", "`logger.name`", "`source`", "`log.logger`", "label"),
    "event": LogField("What happened, for people.", "`message`", "`_raw`", "`message`", "the line"),
    "type": LogField("Of runs: Dagster's name of the event.", *_ATTRIBUTE, "`event.action`", "label"),
    "run_id": LogField("Which run.", *_ATTRIBUTE, "`labels.run_id`", "structured metadata"),
    "job": LogField("Its job.", "tag", "field", "`labels.job`", "label"),
    "stream": LogField("Whose.", "tag", "field", "`labels.stream`", "label"),
    "partition": LogField(
        "A partition, or the range of the run.", *_ATTRIBUTE, "`labels.partition`", "structured metadata"
    ),
    "step": LogField("The step of the run.", "tag", "field", "`labels.step`", "label"),
    "rows": LogField("How many rows were written.", "measure", "field", "`sessions.rows`", "`unwrap rows`"),
    "seconds": LogField(
        "How long the step took.", "`duration`, in ns", "field", "`event.duration`, in ns", "`unwrap seconds`"
    ),
}


def log_line(level: str, logger: str, event: str, at: datetime | None = None, **more: str | float | None) -> str:
    """One line: these fields in the order of `FIELDS`, without those that are None.

    Args:
        level: in any case.
        logger: which part says it.
        event: what happened; line breaks become JSON's.
        at: when; now by default.
        more: other fields, all of which have to be in `FIELDS`.
    """
    when = (at or datetime.now(UTC)).isoformat()
    said = {"timestamp": when, "level": level.lower(), "logger": logger, "event": event, **more}
    if unknown := said.keys() - FIELDS.keys():
        raise ValueError(f"no fields of log lines: {sorted(unknown)}")
    return json_of({name: said[name] for name in FIELDS if said.get(name) is not None})


def field_table() -> str:
    """The table of docs/monitoring.md in Markdown."""
    head = "| field | meaning | Datadog | Splunk | Elastic (ECS) | Loki |\n| --- | --- | --- | --- | --- | --- |"
    rows = [f"| `{name}` | {' | '.join(field)} |" for name, field in FIELDS.items()]
    return "\n".join([head, *rows])


if __name__ == "__main__":
    write_table("log fields", field_table())
