"""The two axes as Dagster has them."""

import dagster as dg

from sessions_platform.contracts.calendar import Cadence, Calendar

_CRON = {
    Cadence.hourly: "0 * * * *",
    Cadence.daily: "0 0 * * *",
    Cadence.weekly: "0 0 * * 1",
    Cadence.monthly: "0 0 1 * *",
}


def partitions_definition(calendar: Calendar) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of a calendar up to the one that is going on; equal for equal calendars."""
    return dg.TimeWindowPartitionsDefinition(
        start=calendar.first_start.replace(tzinfo=None),
        end=calendar.end.replace(tzinfo=None) if calendar.end else None,
        fmt=calendar.key_format,
        cron_schedule=_CRON[calendar.cadence],
        timezone=calendar.timezone,
        end_offset=1,
    )
