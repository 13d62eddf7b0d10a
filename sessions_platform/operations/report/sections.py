"""The sections of a report, in the order of the page.

Not here: what stands in each of them (`session_sections.py`, `silence_sections.py`, `row_sections.py`), and how it is
counted (`data.py`), drawn (`charts.py`) and laid out (`page.py`).
"""

from sessions_platform.operations.report.data import LISTS, ReportData
from sessions_platform.operations.report.row_sections import late, rejected, staleness
from sessions_platform.operations.report.section import Section
from sessions_platform.operations.report.session_sections import durations, events, hours, most_frequent, over_time
from sessions_platform.operations.report.silence_sections import gaps, silences


def sections(data: ReportData) -> list[Section]:
    """All sections; those without any data only say so."""
    return [
        over_time(data),
        hours(data),
        silences(data),
        gaps(data),
        durations(data),
        events(data),
        *(most_frequent(data, column) for column in LISTS),
        rejected(data),
        late(data),
        staleness(data),
    ]


def previews(data: ReportData) -> list[Section]:
    """The sections whose charts show no value of any event, for places that keep them."""
    return [section for section in (over_time(data), gaps(data)) if section.chart]
