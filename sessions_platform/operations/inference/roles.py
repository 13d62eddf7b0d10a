"""Which fields have the user, the time, the type and the id of an event, and its page; with reasons.

A field is proposed by its name (`names`), if what it contains can be that; where no name is known, as in files without
a header, by what it contains alone. Here: the conditions, and the sentences. Not here: columns of a stream (`columns`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sessions_platform.operations.inference.fields import Field
from sessions_platform.operations.inference.names import (
    ADDRESSES,
    IDS,
    NO_EVENT_TIMES,
    PAGES,
    TIMES,
    TYPES,
    USERS,
    is_named_like_a_time,
    plain,
    ranked,
)
from sessions_platform.operations.inference.times import TimeGuess, is_clock, time_guess

# Pairs of fields that are one value together, as data feeds have them.
_PAIRS = {
    "user_id": (("postvisidhigh", "postvisidlow"), ("visidhigh", "visidlow")),
    "event_id": (("hitidhigh", "hitidlow"),),
}
_NEARLY_ALWAYS = 0.95
_FEW_NULLS = 0.001
_SEVERAL = 0.01
_LEAST_ROWS = 20
_LEAST_DISTINCT = 0.98
_MOST_TYPES = 200
_MOST_FALLBACKS = 4
_HALF = 0.5
# What stands for the type of a request whose first line is no request.
_OF_REQUESTS = ("request", "status")
_GIVEN_NAME = re.compile(r"^field_\d+$")


@dataclass(frozen=True)
class Role:
    """What is proposed for one column.

    Attributes:
        paths: of the fields, the first that is not null counts; empty where none is proposed.
        is_joined: whether the paths are parts that are joined.
        reason: why, or why none.
        warnings: sentences on what is doubtful.
        time: how the fields are times, for the time of the event.
    """

    paths: tuple[str, ...]
    reason: str
    is_joined: bool = False
    warnings: tuple[str, ...] = ()
    time: TimeGuess | None = None
    is_nullable: bool = False


@dataclass(frozen=True)
class Roles:
    """The proposals for all columns that the platform knows; `problems` are sentences on required ones without any."""

    user: Role
    time: Role
    type: Role
    id: Role
    page: Role
    times: Mapping[str, TimeGuess] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """Why the stream needs an edit; empty where it doesn't."""
        return [role.reason for role in (self.user, self.time, self.type) if not role.paths]

    @property
    def used(self) -> set[str]:
        """The paths of all roles."""
        return {path for role in (self.user, self.time, self.type, self.id, self.page) for path in role.paths}


def roles_of(fields: Sequence[Field], now: datetime) -> Roles:
    """Propose the columns that the platform knows.

    Args:
        fields: without the words that mean null.
        now: times later than a year after it are no times of events.
    """
    times = {each.path: guess for each in fields if (guess := _time_guess(each, now))}
    time = _time_role(fields, times, now)
    left = [each for each in fields if each.path not in {*times, *time.paths}]
    id_ = _id_role(left)
    left = [each for each in left if each.path not in id_.paths]
    page = _page_role(left)
    kind = _type_role([each for each in left if each.path not in page.paths])
    left = [each for each in left if each.path not in {*kind.paths, *page.paths}]
    return Roles(_user_role(left), time, kind, id_, page, times)


# The user ------------------------------------------------------------------------------------------------


def _user_role(fields: Sequence[Field]) -> Role:
    for high, low in _PAIRS["user_id"]:
        if pair := _pair(fields, high, low):
            return Role(pair, "two fields by whose names they are one visitor's id", is_joined=True)
    named = [each for each in ranked(fields, USERS) if each.texts]
    warnings = [warning for each in named if (warning := _user_warning(each))]
    named = [each for each in named if not _user_warning(each)] or named
    named.sort(key=lambda each: each.null_share > _HALF)  # a field of a few events is no user of all of them
    addresses = [each for each in ranked(fields, ADDRESSES) if each.texts]
    chosen = _filling(named, addresses)
    if not chosen:
        return _user_by_content(fields)
    reason = _described(chosen[0])
    reason += _where_null(chosen[1:])
    if chosen[0] in addresses:
        reason += "; no field is named like a user"
        warnings.append("user_id is an address: users behind one address count as one.")
    return Role(tuple(each.path for each in chosen), reason, warnings=tuple(warnings))


def _filling(named: Sequence[Field], addresses: Sequence[Field]) -> list[Field]:
    """The likeliest field, and those by which rows in which it is null have a user.

    An address is no second name of a user who has one in other rows: it fills few rows, or is taken alone.
    """
    chosen: list[Field] = []
    for each in named:
        if _nulls(chosen) > _FEW_NULLS and len(chosen) < _MOST_FALLBACKS:
            chosen.append(each)
    if not addresses or _nulls(chosen) <= _SEVERAL:
        return chosen
    return [*chosen, addresses[0]] if _nulls(chosen) < _HALF else [addresses[0]]


def _nulls(chosen: Sequence[Field]) -> float:
    """The share of rows in which all of the fields may be null."""
    return min((each.null_share for each in chosen), default=1.0)


def _user_warning(each: Field) -> str:
    if each.null_share > _NEARLY_ALWAYS:
        return f"{each.path} is null in {each.null_share:.0%} of the rows."
    if _is_constant(each):
        return f"{each.path} has one value in all rows of the sample, {next(iter(each.counts))!r}."
    return ""


def _user_by_content(fields: Sequence[Field]) -> Role:
    """The field that could have users by what it has, where files name no fields; else none."""
    fitting = [
        each for each in fields
        if (_GIVEN_NAME.match(each.name) or plain(each.name).endswith("id"))
        and each.null_share < _SEVERAL and len(each.counts) > 1 and not each.is_link
        and each.distinct_share < 0.9 and not any(" " in text for text in list(each.counts)[:200])
    ]  # fmt: skip
    if not fitting:
        return Role((), "no column looks like a user: set columns.user_id.from to the field that has the user's id")
    best = max(fitting, key=lambda each: (each.is_uuid, len(each.counts)))
    return Role((best.path,), f"by what it has: {_described(best)}; no field is named like a user, so check this")


# The time ------------------------------------------------------------------------------------------------


def _time_guess(each: Field, now: datetime) -> TimeGuess | None:
    if each.is_uuid or each.is_address or each.is_link or not each.texts:
        return None
    if each.is_numbers and not (_GIVEN_NAME.match(each.name) or is_named_like_a_time(each.name)):
        return None  # numbers of ten digits are ids as often as times
    return time_guess(_stripped(each), now)


def _stripped(each: Field) -> list[str]:
    """The different values, without the blanks around them that `trim` removes."""
    return list({text.strip(): None for text in each.counts})


def _time_role(fields: Sequence[Field], times: Mapping[str, TimeGuess], now: datetime) -> Role:
    usable = [each for each in fields if each.path in times]
    usable = [each for each in usable if not any(part in plain(each.name) for part in NO_EVENT_TIMES)] or usable
    with_clock = [each for each in usable if not _is_only_date(times[each.path])]
    joined = _joined_time(fields, times, now)
    named = [each for each in ranked(with_clock, TIMES) if each.null_share < _HALF]
    if joined and not named:
        return joined
    best = next(iter(named), None) or min(with_clock, key=lambda each: each.null_share, default=None)
    best = best or next(iter(ranked(usable, TIMES) or usable), None)
    if best is None:
        reason = "no column looks like a time: set columns.event_timestamp.from and its formats"
        return Role((), reason)
    guess = times[best.path]
    paths, formats = [best.path], list(guess.formats)
    if best.null_share > _SEVERAL:
        fallback = next((each for each in named if each is not best and each.null_share < best.null_share), None)
        if fallback:
            paths.append(fallback.path)
            formats += [fmt for fmt in times[fallback.path].formats if fmt not in formats]
    return Role(tuple(paths), f"{_described(best)}, read as {', '.join(guess.formats)}", time=_with(guess, formats),
                warnings=_time_warnings(best, guess))  # fmt: skip


def _with(guess: TimeGuess, formats: Sequence[str]) -> TimeGuess:
    return TimeGuess(tuple(formats), guess.share, guess.states_zone, guess.note, guess.first, guess.last)


def _time_warnings(best: Field, guess: TimeGuess) -> tuple[str, ...]:
    warnings = [guess.note] if guess.note else []
    if not guess.states_zone:
        warnings.append(f"{best.path} states no zone and is read as UTC; if it is local time, set timezone.")
    if _is_only_date(guess):
        warnings.append(f"{best.path} has no time of day, so all events of a day are at its midnight.")
    if best.null_share > _SEVERAL:
        warnings.append(f"{best.path} is null in {best.null_share:.0%} of the rows.")
    return tuple(warnings)


def _is_only_date(guess: TimeGuess) -> bool:
    return all("%H" not in fmt and "%I" not in fmt and fmt.startswith("%") for fmt in guess.formats) or (
        guess.formats == ("iso8601",) and guess.first.time() == guess.last.time() == datetime.min.time()
    )


def _joined_time(fields: Sequence[Field], times: Mapping[str, TimeGuess], now: datetime) -> Role | None:
    """A date and a time of day in two fields; None where there are no such."""
    dates = [each for each in fields if each.path in times and _is_only_date(times[each.path])]
    clocks = [each for each in fields if each.texts and is_clock(_stripped(each))]
    for date in ranked(dates, TIMES) or dates:
        for clock in clocks:
            pairs = {f"{day.strip()} {at.strip()}" for day, at in zip(date.texts, clock.texts, strict=False)}
            if guess := time_guess(list(pairs), now):
                reason = f"a date and a time of day in two fields, read as {', '.join(guess.formats)}"
                return Role((date.path, clock.path), reason, is_joined=True, time=guess,
                            warnings=_time_warnings(date, guess))  # fmt: skip
    return None


# Type, id and page ---------------------------------------------------------------------------------------


def _type_role(fields: Sequence[Field]) -> Role:
    named = [each for each in ranked(fields, TYPES) if _can_be_type(each)]
    if named:
        first = next((each for each in named if each.null_share < _HALF), named[0])
        others = ranked(fields, _OF_REQUESTS) if first.name == "method" else _less_null(first, named)
        warnings = (f"{first.path} has one value in all rows of the sample.",) if _is_constant(first) else ()
        paths = tuple(each.path for each in (first, *others))
        return Role(paths, _described(first) + _where_null(others), warnings=warnings)
    by_content = [
        each for each in fields
        if each.is_words and each.null_share < _SEVERAL and 1 < len(each.counts) <= _MOST_TYPES
        and each.distinct_share < _HALF and not each.is_uuid and not each.is_address
        and plain(each.name) not in (*USERS, *ADDRESSES)
    ]  # fmt: skip
    if by_content:
        best = min(by_content, key=lambda each: len(each.counts))
        return Role((best.path,), f"by what it has: {_described(best)}; no field is named like a type, so check this")
    return Role((), "no column looks like the type of an event: set columns.event_type.from to the field that has it")


def _less_null(first: Field, named: Sequence[Field]) -> list[Field]:
    """The next field that is null in fewer rows, if the first is null in some."""
    return [each for each in named if each is not first and each.null_share < first.null_share][:1]


def _can_be_type(each: Field) -> bool:
    return bool(each.texts) and not each.is_uuid and (len(each.counts) <= _MOST_TYPES or each.distinct_share < 0.2)


def _is_constant(each: Field) -> bool:
    return len(each.counts) == 1 and each.rows >= _LEAST_ROWS


def _id_role(fields: Sequence[Field]) -> Role:
    for high, low in _PAIRS["event_id"]:
        if pair := _pair(fields, high, low):
            return Role(pair, "two fields by whose names they are one id", is_joined=True)
    named = ranked(fields, IDS)
    for each in named:
        if each.distinct_share >= _LEAST_DISTINCT and each.null_share < _HALF:
            repeats = "; rows of one id are duplicates" if each.distinct_share < 1 else ""
            return Role((each.path,), _described(each) + repeats, is_nullable=each.null_share > 0)
    unfit = next((each for each in named if each.texts), None)
    why = f"{unfit.path} repeats too many values" if unfit else "no field has an id of each event"
    return Role((), f"{why}, so ids are made from the rows")


def _page_role(fields: Sequence[Field]) -> Role:
    named = [each for each in ranked(fields, PAGES) if each.texts and not each.is_numbers]
    best = next((each for each in named if each.is_link), None) or next(iter(named), None)
    return Role((best.path,), _described(best), is_nullable=True) if best else Role((), "no field looks like a page")


def _pair(fields: Sequence[Field], high: str, low: str) -> tuple[str, str] | None:
    by_name = {plain(each.name): each for each in fields if each.null_share < _SEVERAL}
    return (by_name[high].path, by_name[low].path) if high in by_name and low in by_name else None


def _where_null(others: Sequence[Field]) -> str:
    return f"; {', '.join(each.path for each in others)} where that is null" if others else ""


def _described(each: Field) -> str:
    """A field in words: how often it is null, and how many different values it has."""
    nulls = "never null" if not each.null_share else f"null in {each.null_share:.1%} of the rows"
    what = "UUIDs" if each.is_uuid else "addresses" if each.is_address else "values"
    return f"{each.path}: {nulls}, {len(each.counts):,} different {what} in {len(each.texts):,}"
