"""Make the report of a stream: count, draw, and write one file.

Not here: each of these (`data.py`, `sections.py`, `page.py`), and the arguments of the command (`cli/report.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path

from sessions_platform.errors import UserError
from sessions_platform.operations.report import charts
from sessions_platform.operations.report.data import ReportData, report_data
from sessions_platform.operations.report.page import html
from sessions_platform.operations.report.sections import previews
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import PRIVATE_FILE, Settings, make_private_folder


@dataclass(frozen=True)
class Report:
    """A report that was written: its file, its size in bytes, and how many sessions it is about."""

    file: Path
    size: int
    sessions: int
    _data: ReportData = field(repr=False)

    @cached_property
    def previews(self) -> Sequence[tuple[str, bytes]]:
        """Pictures (PNG) with the titles of what they show. They are drawn when they are asked for."""
        return [(section.title, section.chart.png()) for section in previews(self._data) if section.chart]


def report_file(settings: Settings, stream: str) -> Path:
    """Where the report of a stream is written by default."""
    return settings.home / "reports" / f"{stream}.html"


def write_report(context: StreamContext, file: Path, since: date | None = None) -> Report:
    """Count, draw and write the report; an existing file is replaced once the new one is complete.

    Args:
        context: the stream's.
        file: where it is written; a missing folder is made, both for their owner alone, for texts of events are inside.
        since: the first day, in the session timezone; everything where absent.

    Raises:
        UserError: the file can't be written.
    """
    data = report_data(context, since, meanwhile=charts.start)
    page = html(data).encode()
    try:
        make_private_folder(file.parent)
        draft = file.with_name(f".{file.name}.tmp")
        draft.touch(PRIVATE_FILE)
        draft.write_bytes(page)
        draft.replace(file)
    except OSError as error:
        raise UserError(f"{file}: it can't be written: {error.strerror}. Fix: name another file.") from None
    return Report(file, len(page), data.totals.sessions, data)
