"""What one key of a stream's file says of another.

Works on the raw file, so that all mistakes are told at once: a value that is none by itself
is passed over here, for the models tell it.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import Any

from sessions_platform.contracts.calendar import Cadence, Calendar, midnight
from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.enrichments import ENRICHMENTS, column_clashes, enriched_columns
from sessions_platform.contracts.path_template import PLACEHOLDER, PathTemplate, TemplateError
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.session_rule import Aggregate
from sessions_platform.contracts.sessions import KEPT_BY_WAREHOUSE, SESSIONIZED, SESSIONS
from sessions_platform.contracts.values import as_day, as_share, is_timezone

Issue = tuple[tuple[str, ...], str, str]  # the key's place, the reason, the mend
Raw = dict[str, Any]

REQUIRED_COLUMNS = ("user_id", "event_timestamp", "event_type")
_TYPES = {
    **dict.fromkeys(("event_id", "user_id", "event_type", "page_url"), "string"),
    "event_timestamp": "timestamp",
}
# Columns that the platform, or PostgreSQL, adds to a row, an event or a session.
RESERVED = {
    *RAW_EVENTS, "parse_errors", "reasons", "properties", *SESSIONIZED, *SESSIONS, *KEPT_BY_WAREHOUSE,
    "is_open", "is_first",
    "tableoid", "ctid", "xmin", "xmax", "cmin", "cmax",
} - {"user_id"}  # fmt: skip
_SCHEMAS = {"public", "information_schema", "sessions_platform"}
_NUMERIC = {"integer", "float"}
_LOOKED_UP = ("string", "integer")
_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "float": lambda value: type(value) in {int, float} and abs(value) <= sys.float_info.max,
}
_SOME_DAY = date(2026, 1, 1)
_ODD_MIDNIGHTS_END = date(2038, 1, 1)  # zones repeat the same years from then on


def cross_key_issues(raw: Raw) -> Iterator[Issue]:
    columns, session = _mapping(raw, "columns"), _mapping(raw, "session")
    yield from (((key,), "the key is not known", "remove it") for key in ("path", "home") if key in raw)
    yield from _name_findings(raw.get("name"))
    if isinstance(raw.get("columns"), dict):
        for name in (name for name in REQUIRED_COLUMNS if name not in columns):
            yield ("columns", name), "the column is missing", f"add {name}: {{from: …}}"
    for name in columns:
        yield from _column_findings(name, _mapping(columns, name))
    enriched = {name: {"type": kind.value} for name, kind in _enriched_columns(raw).items()}
    for name, aggregate in _mapping(session, "columns").items():
        yield from _aggregate_findings(name, aggregate, {**columns, **enriched})
    yield from _named_column_findings(("sequence",), raw.get("sequence"), columns)
    yield from _named_column_findings(("session", "campaign"), session.get("campaign"), {**columns, **enriched})
    for name, column in column_clashes(raw.get("enrich"), columns):
        reason = f"{name} adds the column {column}, which there is already"
        yield ("enrich",), reason, "rename the column, or remove the enrichment"
    yield from _threshold_findings(_mapping(raw, "rejected"))
    yield from _character_findings(_mapping(raw, "source"))
    yield from _day_findings(raw)
    yield from _landing_findings(raw)
    yield from _timezone_findings(raw)


def _mapping(raw: Raw, key: str) -> Raw:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _name_findings(name: Any) -> Iterator[Issue]:
    if isinstance(name, str) and (name in _SCHEMAS or name.startswith("pg_")):
        yield ("name",), f"{name!r} is a schema of its own in PostgreSQL", "choose another name"


def _named_column_findings(place: tuple[str, ...], column: Any, columns: Raw) -> Iterator[Issue]:
    if isinstance(column, str) and column not in columns:
        yield place, f"there is no column {column!r}", f"name one of {', '.join(columns)}"


def _enriched_columns(raw: Raw) -> dict[str, ColumnType]:
    named = raw.get("enrich")
    known = [name for name in named if isinstance(name, str) and name in ENRICHMENTS] if isinstance(named, list) else []
    return enriched_columns(known)


# Columns -------------------------------------------------------------------------------------------------


def _column_findings(name: str, column: Raw) -> Iterator[Issue]:
    here = ("columns", name)
    stated = {key for key, value in column.items() if value is not None}
    required, kind = _TYPES.get(name), _kind(name, column)
    if name in RESERVED:
        yield here, "the platform has a column of that name", "choose another name"
    if required and column.get("type", required) != required:
        yield (*here, "type"), f"the platform needs {name} as {required}", "remove the type"
    if name in {*REQUIRED_COLUMNS, "event_id"} and column.get("nullable"):
        yield (*here, "nullable"), f"an event must have {name}", "remove nullable"
    if {"from", "join"} <= stated:
        yield (*here, "join"), "from and join exclude each other", "keep one of the two"
    if kind == "timestamp" and "formats" not in stated:
        yield here, "its formats are not named", 'add formats, as in formats: ["%+", epoch_ms]'
    if kind:
        yield from _misplaced_rules(here, kind, stated)
        yield from _listed_findings((*here, "isin"), kind, column.get("isin"))
        yield from _reference_findings((*here, "references"), kind, column.get("references"))
    if kind in _NUMERIC:
        yield from _bound_findings(here, kind, column)


def _kind(name: str, column: Raw) -> str | None:
    """The column's type; None where it states one that there is not."""
    kind = "timestamp" if name == "event_timestamp" else column.get("type", "string")
    return kind if isinstance(kind, str) and kind in ColumnType.__members__ else None


def _misplaced_rules(here: tuple[str, ...], kind: str, stated: set[str]) -> Iterator[Issue]:
    if kind != "timestamp" and "formats" in stated:
        yield (*here, "formats"), f"only a timestamp has formats, this is {kind}", "remove it"
    if kind not in _NUMERIC and (bounds := {"ge", "gt", "le", "lt"} & stated):
        yield (*here, min(bounds)), f"only a number has bounds, this is {kind}", "add type: float, or remove it"
    if kind != "string" and "pattern" in stated:
        yield (*here, "pattern"), f"only text has a pattern, this is {kind}", "remove it"


def _listed_findings(here: tuple[str, ...], kind: str, listed: Any) -> Iterator[Issue]:
    fits = _ALLOWED.get(kind)
    if listed is not None and fits is None:
        yield here, f"values of type {kind} can't be listed", "remove it"
    elif fits and isinstance(listed, list) and not all(map(fits, listed)):
        yield here, f"not all of its values are of type {kind}", "quote text, and write numbers bare"


def _reference_findings(here: tuple[str, ...], kind: str, reference: Any) -> Iterator[Issue]:
    if reference is None:
        return
    if kind not in _LOOKED_UP:
        yield here, f"values of type {kind} can't be looked up", f"write type: {' or '.join(_LOOKED_UP)}"
    if not isinstance(reference, dict):
        yield here, "it names no file and no table", "write it as in {file: products.csv, column: id}"
    elif len([place for place in ("file", "table") if reference.get(place) is not None]) != 1:
        yield here, "it takes a file or a table", "name one of the two, as in {file: products.csv, column: id}"


def _bound_findings(here: tuple[str, ...], kind: str, column: Raw) -> Iterator[Issue]:
    """Bounds that nothing can pass, alone or with the values that are listed."""
    bounds = {key: bound for key in ("ge", "gt", "le", "lt") if (bound := _number(column.get(key))) is not None}
    for key in (key for key, bound in bounds.items() if not math.isfinite(bound)):
        yield (*here, key), "it is no finite number", "write a number, or remove it"
        return
    least, most = _span(bounds, whole=kind == "integer")
    stated = " and ".join(f"{key} {column[key]}" for key in bounds)
    if least > most or (least == most and kind == "float" and _is_left_out(least, bounds)):
        yield (*here, max(bounds)), f"no number keeps {stated}", "mend one of them"
        return
    listed = column.get("isin")
    numbers = [value for value in map(_number, listed) if value is not None] if isinstance(listed, list) else []
    if numbers and not any(least <= value <= most and not _is_left_out(value, bounds) for value in numbers):
        yield (*here, "isin"), f"none of its values keeps {stated}", "mend the list or the bounds"


def _number(value: Any) -> float | None:
    """A number as the models read it; None for what is none."""
    with suppress(ValueError, OverflowError):
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    return None


def _span(bounds: dict[str, float], *, whole: bool) -> tuple[float, float]:
    """The least and the greatest number within the bounds, which may themselves be left out unless `whole`."""
    least = max((bounds[key] for key in ("ge", "gt") if key in bounds), default=-math.inf)
    most = min((bounds[key] for key in ("le", "lt") if key in bounds), default=math.inf)
    if whole and math.isfinite(least):
        least = math.floor(least) + 1 if _is_left_out(least, bounds) else math.ceil(least)
    if whole and math.isfinite(most):
        most = math.ceil(most) - 1 if _is_left_out(most, bounds) else math.floor(most)
    return least, most


def _is_left_out(value: float, bounds: dict[str, float]) -> bool:
    return value in {bounds.get("gt"), bounds.get("lt")}


def _aggregate_findings(name: str, aggregate: Any, columns: Raw) -> Iterator[Issue]:
    here = ("session", "columns", name)
    if name in RESERVED or name == "user_id":
        yield here, "the sessions table has a column of that name", "choose another name"
    if not isinstance(aggregate, dict) or len(aggregate) != 1 or None in aggregate.values():
        yield here, "it takes one function and its column", "write it as in {sum: amount}"
        return
    ((function, column),) = aggregate.items()
    if function not in Aggregate.model_fields or not isinstance(column, str):
        return
    if column not in {*columns, "event_id"}:
        yield (*here, function), f"there is no column {column!r}", f"name one of {', '.join(columns)}"
    elif function == "sum" and _kind(column, _mapping(columns, column)) not in {None, *_NUMERIC}:
        yield (*here, function), f"{column} is no number", "sum a column of type integer or float"


# Rejections ----------------------------------------------------------------------------------------------


def _threshold_findings(rejected: Raw) -> Iterator[Issue]:
    yield from _order_findings(("rejected",), rejected)
    for code, thresholds in _mapping(rejected, "by_reason").items():
        if isinstance(thresholds, dict):
            yield from _order_findings(("rejected", "by_reason", str(code)), thresholds)


def _order_findings(here: Sequence[str], thresholds: Raw) -> Iterator[Issue]:
    warns, fails = as_share(thresholds.get("warn_above")), as_share(thresholds.get("fail_above"))
    if warns is not None and fails is not None and warns > fails:
        reason = f"it would never warn, for the partition fails above {thresholds['fail_above']}"
        yield (*here, "warn_above"), reason, "write a smaller percentage, or remove it"


# Files ---------------------------------------------------------------------------------------------------


def _character_findings(source: Raw) -> Iterator[Issue]:
    written = {"separator": source.get("separator", ","), "quote": source.get("quote", '"')}
    encoding = source.get("encoding", "utf-8")
    for key, character in written.items():
        if isinstance(character, str) and len(character) == 1 and not _is_a_byte(character, encoding):
            reason = f"{character!r} ends a line, or is no single byte in {encoding}"
            yield ("source", key), reason, "write a character of ASCII, as in ; or \\t"
    if written["separator"] == written["quote"]:
        key = "separator" if "separator" in source else "quote"
        yield ("source", key), "separator and quote are the same", "write another one; quote: null if there is none"


def _is_a_byte(character: str, encoding: Any) -> bool:
    """And ends no line. Also where the encoding is none."""
    try:
        return len(character.encode(encoding)) == 1 and character not in "\r\n"
    except UnicodeEncodeError:
        return False
    except (LookupError, UnicodeError, TypeError):
        return True


def _landing_findings(raw: Raw) -> Iterator[Issue]:
    files, landing = _mapping(raw, "source").get("files"), _mapping(raw, "landing")
    calendar = _calendar(landing, as_day(landing.get("start")) or as_day(raw.get("start")), "UTC")
    if calendar and isinstance(files, str) and PLACEHOLDER.search(files):
        try:
            PathTemplate(files, calendar)
        except TemplateError as error:
            yield ("source", "files"), str(error), f"write {{partition:{calendar.key_format}}}"


# Time ----------------------------------------------------------------------------------------------------


def _day_findings(raw: Raw) -> Iterator[Issue]:
    landing_start = _mapping(raw, "landing").get("start")
    start, first, end = map(as_day, (raw.get("start"), landing_start, raw.get("end")))
    if start and end and end <= start:
        yield ("end",), f"it is not after the start, {start}", "write a later day, or remove it"
    elif first and end and end <= first:
        yield ("landing", "start"), f"it is not before the end, {end}", "write an earlier day, or remove it"


def _timezone_findings(raw: Raw) -> Iterator[Issue]:
    here, session = ("session", "timezone"), _mapping(raw, "session")
    zone = session.get("timezone", "UTC")
    if zone == "UTC" or not is_timezone(zone):
        return
    if session.get("partition") == Cadence.hourly:
        yield here, "hours repeat at the end of summer time", "write UTC, or partition: daily"
        return
    calendar = _calendar(session, as_day(raw.get("start")), zone)
    before = min(as_day(raw.get("end")) or _ODD_MIDNIGHTS_END, _ODD_MIDNIGHTS_END)
    if calendar and (day := calendar.torn_midnight(before)):
        reason = f"its clocks skipped or repeated the midnight before {day} together with some of its eve"
        yield here, reason, "write UTC, another zone or a later start"


def _calendar(axis: Raw, start: date | None, zone: str) -> Calendar | None:
    cadence = axis.get("partition", Cadence.daily)
    if not isinstance(cadence, str) or cadence not in Cadence.__members__:
        return None
    return Calendar(Cadence(cadence), midnight(start or _SOME_DAY, zone), zone)
