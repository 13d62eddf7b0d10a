"""The sections on sessions: when they start, how long they last, what they contain. Counts are of the warehouse.

Not here: silences and other gaps (`silence_sections.py`), and what becomes of rows (`row_sections.py`).
"""

from collections.abc import Sequence

from sessions_platform.operations.report import charts, words
from sessions_platform.operations.report.data import DURATIONS, EVENTS, ReportData
from sessions_platform.operations.report.section import Listed, Section, Table

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WEEKDAY_NAMES = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")
_HOURS = [str(hour) for hour in range(24)]
_NAMES = {"primary_action": "primary action", "entry_page": "entry page", "exit_page": "exit page"}
_TITLES = {
    "primary_action": "{share} of the sessions have the primary action {value}, more than any other",
    "entry_page": "{share} of the sessions begin at {value}, more than at any other page",
    "exit_page": "{share} of the sessions end at {value}, more than at any other page",
}


def over_time(data: ReportData) -> Section:
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


def hours(data: ReportData) -> Section:
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


def durations(data: ReportData) -> Section:
    text = "From a session's first event to its last; a session of one event takes no time."
    names = words.classes_of_durations(DURATIONS)
    if not data.totals.sessions:
        return Section("durations", "There are no sessions to measure", text)
    half, share = _half(data.distributions.by_duration, data.totals.sessions)
    bound = words.seconds(DURATIONS[min(half, len(DURATIONS) - 1)])
    title = f"{share} of the sessions last less than {bound}; the longest lasts "
    title += words.seconds(data.totals.longest_seconds or 0)
    return _distribution("durations", title, text, "duration", names, data.distributions.by_duration)


def events(data: ReportData) -> Section:
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


def most_frequent(data: ReportData, column: str) -> Section:
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
