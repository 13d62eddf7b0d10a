"""Calendars as Dagster's partitions.

Not here: what a calendar is (`contracts.calendar`), and which partitions are pending (`operations/status.py`).
"""

from datetime import datetime

import dagster as dg

from sessions_platform.contracts.calendar import Cadence, Calendar

_CRON = {
    Cadence.hourly: "0 * * * *",
    Cadence.daily: "0 0 * * *",
    Cadence.weekly: "0 0 * * 1",
    Cadence.monthly: "0 0 1 * *",
}


def partitions_definition(calendar: Calendar) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of a calendar up to the current one; equal definitions for equal calendars."""
    return dg.TimeWindowPartitionsDefinition(
        start=_local(calendar.first_start, calendar),
        end=_local(calendar.last_end, calendar) if calendar.last_end else None,
        fmt=calendar.key_format,
        cron_schedule=_CRON[calendar.cadence],
        timezone=calendar.timezone,
        end_offset=1,
    )


def _local(moment: datetime, calendar: Calendar) -> datetime:
    return moment.astimezone(calendar.zone).replace(tzinfo=None)
