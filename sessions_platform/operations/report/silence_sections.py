"""The sections by which a gap is chosen: how long users are silent, and how many sessions other gaps would give.

Not here: how silences are counted (`lake_counts.py`, `transforms/silences.py`).
"""

from datetime import timedelta

from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.operations.report import charts, words
from sessions_platform.operations.report.data import ReportData
from sessions_platform.operations.report.section import Section, Table


def silences(data: ReportData) -> Section:
    rule, gap = data.stream.session, data.stream.session.gap
    is_longer = "not shorter" if rule.gap_inclusive else "longer"
    rows = list(data.silences.histogram.iter_rows())
    total = sum(silences for _, _, silences in rows)
    text = (
        "A silence is the time between two successive events of one user, whatever session they are in. "
        f"{_passive_left_out(rule)}{_what_the_gap_does(rule)}"
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


def gaps(data: ReportData) -> Section:
    rule, gap = data.stream.session, data.stream.session.gap
    if rule.id:
        title = f"Other gaps do not apply, because sessions are made by the tool's own id, {rule.id}"
        return Section("gaps", title, f"The gap ends sessions only of events without {rule.id}.")
    counted = dict(data.silences.sessions.iter_rows())
    current = counted[gap]
    left_out = _rules_left_out(rule)
    rules = (
        f"The stream's other rules ({', '.join(left_out)}) are not applied here; they end further sessions, and the "
        f"table of sessions has {words.number(data.totals.sessions)}."
        if left_out
        else "The stream has no other rule that ends sessions."
    )
    counting = "Counted exactly over all accepted events of the lake; only the gap differs."
    text = f"{counting} {_passive_left_out(rule)}{rules}"
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


def _rules_left_out(rule: SessionRule) -> list[str]:
    """The rules, besides the gap, that end sessions too; other gaps are counted without them."""
    names = {
        "split_at_midnight": rule.split_at_midnight,
        "campaign": rule.campaign is not None,
        "cut_on": rule.cut_on is not None,
        "max_length": rule.max_length is not None,
    }
    return [name for name, applies in names.items() if applies]


def _passive_left_out(rule: SessionRule) -> str:
    """A sentence, and a space, where some events neither open nor extend sessions."""
    return f"Passive events ({', '.join(rule.passive)}) are left out. " if rule.passive else ""


def _what_the_gap_does(rule: SessionRule) -> str:
    if rule.id:
        return f"The line marks the gap, which ends sessions only of events without the tool's own id, {rule.id}."
    return "The line marks the gap: a silence above it ends a session."
