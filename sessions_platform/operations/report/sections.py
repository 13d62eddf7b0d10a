"""What stands in a report: for each matter a title that is a sentence, a chart, and a table with all of its numbers.

Not here: how it is counted (`data.py`), drawn (`charts.py`) and laid out (`page.py`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sessions_platform.operations.report import charts, words
from sessions_platform.operations.report.data import DURATIONS, EVENTS, LISTS, ReportData
from sessions_platform.operations.report.lake_counts import DELAYS

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEKDAY_NAMES = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_HOURS = [str(hour) for hour in range(24)]
_NAMES = {"primary_action": "primary action", "entry_page": "entry page", "exit_page": "exit page"}
_TITLES = {
    "primary_action": "{share} of the sessions have the primary action {value}, more than any other",
    "entry_page": "{share} of the sessions begin at {value}, more than at any other page",
    "exit_page": "{share} of the sessions end at {value}, more than at any other page",
}
_OTHER = "all others"
_NAMED_REASONS = len(charts.SERIES) - 1
_PARTITIONS_NAMED = 20


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


def sections(data: ReportData) -> list[Section]:
    """All sections, in the order of the page; those without any data only say so."""
    return [
        _over_time(data),
        _hours(data),
        _silences(data),
        _gaps(data),
        _durations(data),
        _events(data),
        *(_list(data, column) for column in LISTS),
        _rejected(data),
        _late(data),
        staleness(data),
    ]


def previews(data: ReportData) -> list[Section]:
    """The sections whose charts show no value of any event, for places that keep them."""
    return [section for section in (_over_time(data), _gaps(data)) if section.chart]


def rules_left_out(data: ReportData) -> list[str]:
    """The rules of the stream, besides the gap, that end sessions too; other gaps are counted without them."""
    rule = data.stream.session
    names = {
        "split_at_midnight": rule.split_at_midnight,
        "campaign": rule.campaign is not None,
        "max_length": rule.max_length is not None,
    }
    return [name for name, applies in names.items() if applies]


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


def _over_time(data: ReportData) -> Section:
    text = f"By the {data.unit} in which a session starts ({data.stream.session.timezone})."
    if not data.periods:
        return Section("time", "There are no sessions", text)
    most = max(data.periods, key=lambda period: period.sessions)
    sessions, users = words.count(data.totals.sessions, "session"), words.count(data.totals.users, "user")
    busiest = f"the most on {words.period(most.first_day, 'day')}"
    if data.unit != "day":
        busiest = f"the most in {words.period(most.first_day, data.unit)}"
    days = [period.first_day for period in data.periods]
    counted = {
        "sessions": [period.sessions for period in data.periods],
        "users": [period.users for period in data.periods],
    }
    rows = [
        (words.period(period.first_day, data.unit), words.number(period.sessions), words.number(period.users))
        for period in data.periods
    ]
    return Section(
        "time",
        f"{sessions} of {users}, {busiest} ({words.number(most.sessions)})",
        text,
        charts.lines(days, counted),
        ((charts.MARK, "sessions (line with circles)"), (charts.SECOND, "users (dashed, with squares)")),
        Table(f"Sessions and users by {data.unit}", (data.unit, "sessions", "users"), tuple(rows)),
    )


def _hours(data: ReportData) -> Section:
    zone = data.stream.session.timezone
    counted = data.distributions.by_hour
    text = f"Sessions by weekday and hour of their start, in the timezone {zone}."
    if not counted:
        return Section("hours", "There are no sessions to place in the week", text)
    (weekday, hour), most = max(counted.items(), key=lambda item: (item[1], item[0]))
    bounds = [most * n / (len(charts.SHADES) - 1) for n in range(len(charts.SHADES))]
    shades = {
        (name, str(n)): sum(counted.get((day, n), 0) > bound for bound in bounds[:-1])
        for day, name in enumerate(_WEEKDAYS, 1)
        for n in range(24)
    }
    uppers = [int(bound) for bound in bounds]
    legend = [(charts.SHADES[0], "none")]
    legend += [
        (shade, words.between(words.number(low + 1), words.number(high)))
        for shade, low, high in zip(charts.SHADES[1:], uppers, uppers[1:], strict=False)
        if high > low
    ]
    rows = [(f"{n:02}:00", *(words.number(counted.get((day, n), 0)) for day in range(1, 8))) for n in range(24)]
    return Section(
        "hours",
        f"The busiest hour of the week is that from {hour}:00 on {_WEEKDAY_NAMES[weekday - 1]}",
        text,
        charts.heat_map(_WEEKDAYS, _HOURS, shades),
        tuple(legend),
        Table("Sessions by hour and weekday", ("hour", *_WEEKDAYS), tuple(rows)),
    )


def _silences(data: ReportData) -> Section:
    gap = data.stream.session.gap
    is_longer = "not shorter" if data.stream.session.gap_inclusive else "longer"
    rows = list(data.silences.histogram.iter_rows())
    total = sum(silences for _, _, silences in rows)
    text = (
        "A silence is the time between two successive events of one user, whatever session they are in. The line "
        "marks the gap: a silence above it ends a session."
    )
    if not total:
        return Section("silences", "No user has two events, so there are no silences", text)
    names = [_class_of_silences(low, high) for low, high, _ in rows]
    ending = sum(silences for low, _, silences in rows if low is not None and low >= gap)
    drawn = [
        charts.Bar(name, silences, words.number(silences), stands_out=low is not None and low >= gap)
        for name, (low, _, silences) in zip(names, rows, strict=True)
    ]
    beyond = next(n for n, (low, _, _) in enumerate(rows) if low == gap)
    drawn.insert(beyond, charts.Bar(f"gap: {words.span(gap)}", is_line=True))
    table = [
        (name, words.number(silences), words.percent(silences, total))
        for name, (_, _, silences) in zip(names, rows, strict=True)
    ]
    return Section(
        "silences",
        f"{words.percent(ending, total)} of all silences are {is_longer} than the gap of {words.span(gap)}",
        text,
        charts.bars(drawn),
        ((charts.MARK, "within a session"), (charts.SECOND, "ends a session")),
        Table("Silences by length", ("silence", "silences", "share"), tuple(table)),
    )


def _class_of_silences(low: timedelta | None, high: timedelta | None) -> str:
    if low is None:
        return f"up to {words.span(high)}" if high else "any"
    return words.between(words.span(low), words.span(high)) if high else f"over {words.span(low)}"


def _gaps(data: ReportData) -> Section:
    gap = data.stream.session.gap
    counted = dict(data.silences.sessions.iter_rows())
    current = counted[gap]
    left_out = rules_left_out(data)
    rules = (
        f"The stream's other rules ({', '.join(left_out)}) are not applied here; they end further sessions, and the "
        f"table of sessions has {words.number(data.totals.sessions)}."
        if left_out
        else "The stream has no other rule that ends sessions."
    )
    text = f"Counted exactly over all accepted events of the lake; only the gap differs. {rules}"
    if not data.silences.events:
        return Section("gaps", "There are no events to try other gaps with", text)
    drawn = [
        charts.Bar(
            f"{words.span(length)}{' (now)' if length == gap else ''}",
            sessions,
            f"{words.number(sessions)} {'' if length == gap else words.change(sessions, current)}".strip(),
            stands_out=length == gap,
        )
        for length, sessions in counted.items()
    ]
    table = [
        (words.span(length), words.number(sessions), words.change(sessions, current))
        for length, sessions in counted.items()
    ]
    return Section(
        "gaps",
        f"The gap of {words.span(gap)} gives {words.count(current, 'session')}; {_least_and_most(counted)}",
        text,
        charts.bars(drawn),
        ((charts.SECOND, "the stream's gap"), (charts.MARK, "other gaps")),
        Table("Sessions by gap", ("gap", "sessions", "change"), tuple(table)),
    )


def _least_and_most(counted: dict[timedelta, int]) -> str:
    shortest, longest = min(counted), max(counted)
    return (
        f"{words.span(shortest)} would give {words.number(counted[shortest])} "
        f"and {words.span(longest)} {words.number(counted[longest])}"
    )


def _durations(data: ReportData) -> Section:
    text = "From a session's first event to its last; a session of one event takes no time."
    names = words.classes_of_durations(DURATIONS)
    if not data.totals.sessions:
        return Section("durations", "There are no sessions to measure", text)
    half, share = _half(data.distributions.by_duration, data.totals.sessions)
    bound = words.seconds(DURATIONS[min(half, len(DURATIONS) - 1)])
    title = f"{share} of the sessions last less than {bound}; the longest lasts "
    title += words.seconds(data.totals.longest_seconds or 0)
    return _distribution("durations", title, text, "duration", names, data.distributions.by_duration)


def _events(data: ReportData) -> Section:
    text = "Accepted events of a session, duplicates left out."
    names = words.classes_of_counts(EVENTS)
    if not data.totals.sessions:
        return Section("events", "There are no sessions to count events of", text)
    half, share = _half(data.distributions.by_events, data.totals.sessions)
    bound = EVENTS[min(half, len(EVENTS) - 1)] - 1
    title = f"{share} of the sessions have {words.count(bound, 'event')}{' or fewer' if bound > 1 else ''}; "
    title += f"the largest has {words.number(data.totals.most_events or 0)}"
    return _distribution("events", title, text, "events", names, data.distributions.by_events)


def _half(counted: dict[int, int], sessions: int) -> tuple[int, str]:
    """The first class up to which half of the sessions are, or the last but one, and the share of those up to it."""
    reached = 0
    for number in range(max(counted) + 1):
        reached += counted.get(number, 0)
        if 2 * reached >= sessions:
            return number, words.percent(reached, sessions)
    return max(counted), words.percent(reached, sessions)


def _distribution(
    name: str, title: str, text: str, heading: str, names: Sequence[str], counted: dict[int, int]
) -> Section:
    values = [counted.get(n, 0) for n in range(len(names))]
    total = sum(values)
    drawn = [charts.Bar(label, value, words.percent(value, total)) for label, value in zip(names, values, strict=True)]
    rows = [
        (label, words.number(value), words.percent(value, total)) for label, value in zip(names, values, strict=True)
    ]
    table = Table(f"Sessions by {heading}", (heading, "sessions", "share"), tuple(rows))
    return Section(name, title, text, charts.bars(drawn), table=table)


def _list(data: ReportData, column: str) -> Section:
    found, name, total = data.most_frequent[column], _NAMES[column], data.totals.sessions
    text = f"Sessions by {name}, {words.number(len(found.values))} of {words.count(found.different, 'value')}."
    if not found.values:
        return Section(column, f"No session has a known {name}", f"Sessions by {name}.")
    value, most = found.values[0]
    listed = tuple(
        Listed(
            words.text(value), words.number(sessions), words.percent(sessions, total), round(100 * sessions / most, 1)
        )
        for value, sessions in found.values
    )
    title = _TITLES[column].format(value=words.short_text(value), share=words.percent(most, total))
    return Section(column, title, text, listed=listed)


def _rejected(data: ReportData) -> Section:
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


def _late(data: ReportData) -> Section:
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
