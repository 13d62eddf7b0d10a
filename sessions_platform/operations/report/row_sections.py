"""The sections on rows and partitions: what was rejected, what arrived late, and what is stale.

Counts are of the ledger and the lake. Not here: sessions (`session_sections.py`).
"""

from sessions_platform.operations.report import charts, words
from sessions_platform.operations.report.data import ReportData
from sessions_platform.operations.report.lake_counts import DELAYS
from sessions_platform.operations.report.section import Section, Table

_OTHER = "all others"
_NAMED_REASONS = len(charts.SERIES) - 1
_PARTITIONS_NAMED = 20


def rejected(data: ReportData) -> Section:
    raw, rejected = (sum(getattr(each, name) for each in data.arrivals) for name in ("raw_rows", "rejected"))
    text = (
        f"By the {data.arrival_unit} of landing. A row counts once under each of its reasons, so that reasons may add "
        "up to more than the rejected rows."
    )
    totals: dict[str, int] = {}
    for each in data.arrivals:
        for reason, rows in each.by_reason.items():
            totals[reason] = totals.get(reason, 0) + rows
    reasons = sorted(totals, key=lambda reason: (-totals[reason], reason))
    if not reasons:
        return Section("rejected", f"None of {words.count(raw, 'row')} was rejected", text)
    series = {reason: [each.by_reason.get(reason, 0) for each in data.arrivals] for reason in reasons}
    named = dict(list(series.items())[:_NAMED_REASONS])
    if rest := list(series.values())[_NAMED_REASONS:]:
        named[_OTHER] = [sum(values) for values in zip(*rest, strict=True)]
    days = [each.first_day for each in data.arrivals]
    rows = [
        (
            words.period(each.first_day, data.arrival_unit),
            *(words.number(each.by_reason.get(reason, 0)) for reason in reasons),
            words.number(each.rejected),
            words.number(each.raw_rows),
        )
        for each in data.arrivals
    ]
    title = f"{words.percent(rejected, raw)} of {words.count(raw, 'row')} were rejected, most often as {reasons[0]}"
    return Section(
        "rejected",
        f"{title} ({words.number(totals[reasons[0]])})",
        text,
        charts.stacks(days, named),
        tuple(
            (charts.SERIES[n], f"{reason} ({words.number(sum(values))})")
            for n, (reason, values) in enumerate(named.items())
        ),
        Table(
            f"Rejected rows by {data.arrival_unit} and reason",
            (data.arrival_unit, *reasons, "rejected rows", "raw rows"),
            tuple(rows),
        ),
    )


def late(data: ReportData) -> Section:
    late, events = data.delays.late, data.delays.events
    total = sum(late.values())
    text = (
        "An event is late where it is older than the landing partition that it arrived in. Its delay is the time from "
        "the event to the end of that partition: it has taken so long at most."
    )
    if not total:
        return Section("late", f"None of {words.count(events, 'event')} arrived late", text)
    bounds = [bound.total_seconds() for bound in DELAYS]
    names = words.classes_of_durations(bounds)
    used = range(min(late), max(late) + 1)
    drawn = [charts.Bar(names[n], late.get(n, 0), words.number(late.get(n, 0))) for n in used]
    rows = [("not late", words.number(events - total), words.percent(events - total, events))]
    rows += [(names[n], words.number(late.get(n, 0)), words.percent(late.get(n, 0), events)) for n in used]
    return Section(
        "late",
        f"{words.percent(total, events)} of {words.count(events, 'event')} arrived late",
        text,
        charts.bars(drawn),
        table=Table("Accepted events by delay", ("delay", "events", "share"), tuple(rows)),
    )


def staleness(data: ReportData) -> Section:
    """What waits to be processed, if anything."""
    stale, pending = len(data.stale_sessions), len(data.pending_landing)
    parts = [words.count(stale, "session partition")] if stale else []
    parts += [words.count(pending, "landing partition")] if pending else []
    title = f"{' and '.join(parts)} {'waits' if stale + pending == 1 else 'wait'} to be processed" if parts else ""
    text = (
        "Session partitions wait where events of them have changed, and landing partitions where files are new or have "
        "changed. All numbers are of what has been processed."
    )
    rows = [("sessions", key) for key in data.stale_sessions[:_PARTITIONS_NAMED]]
    rows += [("landing", key) for key in data.pending_landing[:_PARTITIONS_NAMED]]
    caption = f"Waiting partitions, at most {_PARTITIONS_NAMED} of each kind"
    table = Table(caption, ("kind", "partition"), tuple(rows)) if rows else None
    return Section("stale", title or "Nothing is stale: all that has arrived is in the sessions", text, table=table)
