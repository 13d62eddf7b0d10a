"""What a section of a report consists of: a title that is a sentence, a chart, and a table with all of its numbers.

Not here: which sections there are (`sections.py`), and how they are laid out (`page.py`).
"""

from dataclasses import dataclass, field

from sessions_platform.operations.report import charts


@dataclass(frozen=True)
class Table:
    """Texts in columns; the first column names the row, and the others are numbers."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Listed:
    """A value of a list, with its number of sessions, its share as text, and in percent of the greatest."""

    value: str
    sessions: str
    share: str
    length: float


@dataclass(frozen=True)
class Section:
    """One matter of the report.

    Attributes:
        name: unique in the report; part of ids in the page.
        title: a sentence with the main finding.
        text: what is counted, for those who want to know.
        chart: None where there is nothing to draw.
        legend: colours of the chart (CSS) and what they mean.
        table: all numbers of the chart.
        listed: a list that is its own picture, in place of a chart and a table.
    """

    name: str
    title: str
    text: str
    chart: charts.Chart | None = None
    legend: tuple[tuple[str, str], ...] = ()
    table: Table | None = None
    listed: tuple[Listed, ...] = field(default=())
