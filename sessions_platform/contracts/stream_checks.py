"""Rules that relate two keys of a stream's file, or a key and what the platform needs.

They work on the file as YAML has read it, before pydantic, so that one reading shows every problem of a file.
A value that is invalid on its own is skipped: the models report it (``values``, and the modules of the keys).
Not here: file and line of an issue (``stream_file``).
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from typing import Any

from sessions_platform.contracts.calendar import Cadence, Calendar, midnight
from sessions_platform.contracts.column_types import (
    RAW_EVENT_TYPES,
    SESSION_TYPES,
    SESSIONIZED_TYPES,
    WAREHOUSE_TYPES,
)
from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.enrichments import added_by, enrichment_issues
from sessions_platform.contracts.format_checks import format_issues
from sessions_platform.contracts.identity import identity_issues
from sessions_platform.contracts.issues import Issue, KeyPath, Raw, mapping
from sessions_platform.contracts.path_template import PLACEHOLDER, PathTemplate, TemplateError
from sessions_platform.contracts.row_checks import duplicates_issues, skip_issues
from sessions_platform.contracts.scores import scores_issues
from sessions_platform.contracts.session_checks import session_issues
from sessions_platform.contracts.session_rule import Aggregate
from sessions_platform.contracts.stream import BY_POSITION, is_typed
from sessions_platform.contracts.target_checks import target_issues
from sessions_platform.contracts.timestamp_checks import file_name_issues, minus_issues, timestamp_issues
from sessions_platform.contracts.user_sessions import user_sessions_issues
from sessions_platform.contracts.values import as_day, as_share, is_timezone, shown

REQUIRED_COLUMNS = ("user_id", "event_timestamp", "event_type")
_TYPES = {
    **dict.fromkeys(("event_id", "user_id", "event_type", "page_url"), "string"),
    "event_timestamp": "timestamp",
}
# Names of columns that the platform, or PostgreSQL, adds to a row, an event or a session.
RESERVED = {
    *RAW_EVENT_TYPES, "parse_errors", "reasons", "properties", *SESSIONIZED_TYPES, *SESSION_TYPES, *WAREHOUSE_TYPES,
    "is_open", "is_first",
    "tableoid", "ctid", "xmin", "xmax", "cmin", "cmax",
} - {"user_id"}  # fmt: skip
_SCHEMAS = {"public", "information_schema", "sessions_platform"}
# Words that PostgreSQL takes for the name of a schema only in quotes (pg_get_keywords, catcode R and T).
SQL_WORDS = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
    collation column concurrently constraint create cross current_catalog current_date current_role
    current_schema current_time current_timestamp current_user default deferrable desc distinct do else end
    except false fetch for foreign freeze from full grant group having ilike in initially inner intersect into
    is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset on
    only or order outer overlaps placing primary references returning right select session_user similar some
    symmetric system_user table tablesample then to trailing true union unique user using variadic verbose when
    where window with
    """.split()  # noqa: SIM905  a list would take a line for each
)
_NUMERIC = {"integer", "float"}
_REFERENCING = ("string", "integer")
_IS_OF_TYPE: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "float": lambda value: type(value) in {int, float} and abs(value) <= sys.float_info.max,
}
_NO_KEYS = ("path", "home", "pseudonym_key")  # fields of a stream that its file does not have
_ANY_DAY = date(2026, 1, 1)
# Transitions of timezones are tabled up to 2037; later years follow a fixed rule.
_LAST_TRANSITIONS = date(2038, 1, 1)


def cross_key_issues(raw: Raw) -> Iterator[Issue]:
    """Every issue of a stream's file that one key alone does not show.

    Args:
        raw: the file as YAML has read it. Nothing of it is known to be valid but that it is a mapping with text as
            keys.
    """
    columns, session = mapping(raw, "columns"), mapping(raw, "session")
    yield from (Issue((key,), "the key is not known", "remove it") for key in _NO_KEYS if key in raw)
    yield from _name_issues(raw.get("name"))
    if isinstance(raw.get("columns"), dict):
        for name in (name for name in REQUIRED_COLUMNS if name not in columns):
            yield Issue(("columns", name), "the column is missing", f"add {name}: {{from: …}}")
    for name in columns:
        yield from _column_issues(name, mapping(columns, name), needs_formats=not is_typed(raw.get("source")))
        column = mapping(columns, name)
        yield from minus_issues(("columns", str(name)), _kind(name, column), column, columns)
        yield from file_name_issues(("columns", str(name)), _kind(name, column), column)
        if mapping(raw, "source").get("format") == "orc":
            yield from _local_time_issues(name, mapping(columns, name))
    enriched = {name: {"type": kind.value} for name, kind in added_by(raw.get("enrich")).items()}
    for name, aggregate in mapping(session, "columns").items():
        yield from _aggregate_issues(name, aggregate, {**columns, **enriched})
    yield from _named_column_issues(("sequence",), raw.get("sequence"), {**columns, BY_POSITION: {}})
    yield from format_issues(raw)
    yield from duplicates_issues(mapping(raw, "duplicates"), columns)
    yield from skip_issues(raw.get("skip"), columns)
    yield from _named_column_issues(("session", "campaign"), session.get("campaign"), {**columns, **enriched})
    cutting = mapping(session, "cut_on").get("column")
    yield from _named_column_issues(("session", "cut_on", "column"), cutting, {**columns, **enriched})
    yield from session_issues(session, {**columns, **enriched})
    yield from enrichment_issues(raw)
    yield from user_sessions_issues(raw.get("user_sessions"), session, {**columns, **enriched})
    yield from scores_issues(raw.get("scores"), session, {**columns, **enriched})
    yield from identity_issues(raw)
    yield from target_issues(mapping(raw, "targets"))
    yield from _threshold_issues(mapping(raw, "rejected"))
    yield from _day_issues(raw)
    yield from _landing_issues(raw)
    yield from _timezone_issues(raw)


def _name_issues(name: Any) -> Iterator[Issue]:
    if not isinstance(name, str):
        return
    if name in _SCHEMAS or name.startswith("pg_"):
        yield Issue(("name",), f"{name!r} is the name of a schema that exists in PostgreSQL", "choose another name")
    elif name in SQL_WORDS:
        reason = f"{name!r} is a word of SQL, so that each query would have to quote it"
        yield Issue(("name",), reason, f"choose another name, as {name}_events")


def _named_column_issues(key_path: tuple[str, ...], column: Any, columns: Raw) -> Iterator[Issue]:
    if isinstance(column, str) and column not in columns:
        yield Issue(key_path, f"there is no column {column!r}", f"name one of {', '.join(columns)}")


# Columns -------------------------------------------------------------------------------------------------


def _column_issues(name: str, column: Raw, *, needs_formats: bool = True) -> Iterator[Issue]:
    key_path = ("columns", name)
    stated = {key for key, value in column.items() if value is not None}
    required, kind = _TYPES.get(name), _kind(name, column)
    if name in RESERVED:
        yield Issue(key_path, "the platform has a column of that name", "choose another name")
    if required and column.get("type", required) != required:
        yield Issue((*key_path, "type"), f"the platform needs {name} as {required}", "remove the type")
    if name in REQUIRED_COLUMNS and column.get("nullable"):
        yield Issue((*key_path, "nullable"), f"an event must have {name}", "remove nullable")
    if {"from", "join"} <= stated:
        yield Issue((*key_path, "join"), "from and join exclude each other", "keep one of the two")
    if kind == "timestamp":
        yield from timestamp_issues(key_path, column, is_typed=not needs_formats)
    if kind:
        yield from _misplaced_rules(key_path, kind, stated)
        yield from _listed_issues((*key_path, "isin"), kind, column.get("isin"))
        yield from _reference_issues((*key_path, "references"), kind, column.get("references"))
    if kind in _NUMERIC:
        yield from _bound_issues(key_path, kind, column)


def _kind(name: str, column: Raw) -> str | None:
    """The column's type; None where it states an unknown one."""
    kind = "timestamp" if name == "event_timestamp" else column.get("type", "string")
    return kind if isinstance(kind, str) and kind in ColumnType.__members__ else None


def _local_time_issues(name: str, column: Raw) -> Iterator[Issue]:
    if _kind(name, column) == "timestamp" and not column.get("timezone"):
        reason = "a timestamp of ORC is the local time of its writer, and no zone is named"
        yield Issue(("columns", name), reason, "add timezone: with the zone of the program that wrote the files")


# By key, the types of the columns that may state it, and what that means.
_KEYS_OF_TYPES: dict[str, tuple[tuple[str, ...], str]] = {
    "formats": (("timestamp",), "only a timestamp has formats"),
    "floor": (("timestamp",), "only a timestamp is floored"),
    "number": (("string", "integer"), "only strings and integers have it"),
    "bytes": (("string",), "only strings are made of bytes"),
    "words": (("boolean",), "only booleans have words"),
    "case": (("string",), "only text has letters to spell"),
    "unicode": (("string",), "only text has letters to spell"),
    "pattern": (("string",), "only text has a pattern"),
}


def _misplaced_rules(key_path: KeyPath, kind: str, stated: set[str]) -> Iterator[Issue]:
    if kind not in _NUMERIC and (bounds := {"ge", "gt", "le", "lt"} & stated):
        yield Issue(
            (*key_path, min(bounds)), f"only a number has bounds, this is {kind}", "add type: float, or remove it"
        )
    for key, (kinds, reason) in _KEYS_OF_TYPES.items():
        if key in stated and kind not in kinds:
            yield Issue((*key_path, key), f"{reason}, this is {kind}", "remove it")
    if "default" in stated:
        yield from _default_issues(key_path, kind)
    if "bytes" in stated and (keys := {"decode", "split", "extract"} & stated):
        yield Issue((*key_path, min(keys)), "bytes become text only after it", "remove it, or bytes")


def _default_issues(key_path: KeyPath, kind: str) -> Iterator[Issue]:
    """A text for what a row lacks, in a column by which users, rows or moments are told apart."""
    if key_path[-1] in ("user_id", "event_id") or kind == "timestamp":
        reason = f"all rows without {key_path[-1]} would have the same one"
        yield Issue((*key_path, "default"), reason, "remove it; such rows are rejected, or skipped by a rule of skip")


def _listed_issues(key_path: KeyPath, kind: str, listed: Any) -> Iterator[Issue]:
    is_of_type = _IS_OF_TYPE.get(kind)
    if listed is not None and is_of_type is None:
        yield Issue(key_path, f"values of type {kind} can't be listed", "remove it")
    elif is_of_type and isinstance(listed, list) and not all(map(is_of_type, listed)):
        yield Issue(key_path, f"not all of its values are of type {kind}", "quote text, and write numbers bare")


def _reference_issues(key_path: KeyPath, kind: str, reference: Any) -> Iterator[Issue]:
    if reference is None:
        return
    if kind not in _REFERENCING:
        yield Issue(key_path, f"values of type {kind} can't be looked up", f"write type: {' or '.join(_REFERENCING)}")
    if not isinstance(reference, dict):
        yield Issue(key_path, "it names no file and no table", "write it as in {file: products.csv, column: id}")
    elif len([target for target in ("file", "table") if reference.get(target) is not None]) != 1:
        yield Issue(
            key_path, "it takes a file or a table", "name one of the two, as in {file: products.csv, column: id}"
        )


def _bound_issues(key_path: KeyPath, kind: str, column: Raw) -> Iterator[Issue]:
    """Bounds that no number satisfies, alone or of the values that `isin` lists."""
    bounds = {key: bound for key in ("ge", "gt", "le", "lt") if (bound := _number(column.get(key))) is not None}
    for key in (key for key, bound in bounds.items() if not math.isfinite(bound)):
        yield Issue((*key_path, key), "it is not a finite number", "write a number, or remove it")
        return
    least, most = _span(bounds, whole=kind == "integer")
    stated = " and ".join(f"{key} {column[key]}" for key in bounds)
    if least > most or (least == most and kind == "float" and _is_excluded(least, bounds)):
        yield Issue((*key_path, max(bounds)), f"no number satisfies {stated}", "correct one of them")
        return
    listed = column.get("isin")
    numbers = [value for value in map(_number, listed) if value is not None] if isinstance(listed, list) else []
    if numbers and not any(least <= value <= most and not _is_excluded(value, bounds) for value in numbers):
        yield Issue((*key_path, "isin"), f"none of its values satisfies {stated}", "correct the list or the bounds")


def _number(value: Any) -> float | None:
    """A value as the models read a number; None where they would not."""
    with suppress(ValueError, OverflowError):
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    return None


def _span(bounds: dict[str, float], *, whole: bool) -> tuple[float, float]:
    """The least and the greatest number within the bounds.

    Of whole numbers, both satisfy the bounds; else they may be excluded themselves (see `_is_excluded`).
    """
    least = max((bounds[key] for key in ("ge", "gt") if key in bounds), default=-math.inf)
    most = min((bounds[key] for key in ("le", "lt") if key in bounds), default=math.inf)
    if whole and math.isfinite(least):
        least = math.floor(least) + 1 if _is_excluded(least, bounds) else math.ceil(least)
    if whole and math.isfinite(most):
        most = math.ceil(most) - 1 if _is_excluded(most, bounds) else math.floor(most)
    return least, most


def _is_excluded(value: float, bounds: dict[str, float]) -> bool:
    return value in {bounds.get("gt"), bounds.get("lt")}


def _aggregate_issues(name: str, aggregate: Any, columns: Raw) -> Iterator[Issue]:
    key_path = ("session", "columns", name)
    if name in RESERVED or name == "user_id":
        yield Issue(key_path, "the sessions table has a column of that name", "choose another name")
    functions = (
        {key: value for key, value in aggregate.items() if key != "where"} if isinstance(aggregate, dict) else {}
    )
    if len(functions) != 1 or None in functions.values():
        yield Issue(key_path, "it takes one function and its column", "write it as in {sum: amount}")
        return
    yield from _where_issues((*key_path, "where"), mapping(aggregate, "where"), columns)
    ((function, column),) = functions.items()
    if function not in Aggregate.model_fields or not isinstance(column, str):
        return
    if column not in {*columns, "event_id"}:
        yield Issue((*key_path, function), f"there is no column {column!r}", f"name one of {', '.join(columns)}")
    elif function == "any" and _kind(column, mapping(columns, column)) != "boolean":
        yield Issue((*key_path, function), f"{column} is not a truth", "name a column of type boolean, or use where")
    elif function == "sum" and _kind(column, mapping(columns, column)) not in {None, *_NUMERIC}:
        yield Issue((*key_path, function), f"{column} is not a number", "sum a column of type integer or float")


_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "float": (int, float),
}


def _where_issues(key_path: KeyPath, where: Raw, columns: Raw) -> Iterator[Issue]:
    for name, wanted in where.items():
        kind = _kind(name, mapping(columns, name))
        if name not in columns:
            yield Issue(key_path, f"there is no column {name!r}", f"name one of {', '.join(columns)}")
        elif kind not in _PYTHON_TYPES:
            yield Issue(key_path, f"{name} is a {kind}", f"name a column of type {', '.join(_PYTHON_TYPES)}")
        else:
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if type(value) not in _PYTHON_TYPES[kind]:
                    fix = "quote it" if kind == "string" else "write it without quotes"
                    yield Issue(key_path, f"{shown(value)} is no {kind}, as {name} is", fix)


# Rejections ----------------------------------------------------------------------------------------------


def _threshold_issues(rejected: Raw) -> Iterator[Issue]:
    yield from _order_issues(("rejected",), rejected)
    for code, thresholds in mapping(rejected, "by_reason").items():
        if isinstance(thresholds, dict):
            yield from _order_issues(("rejected", "by_reason", str(code)), thresholds)


def _order_issues(key_path: KeyPath, thresholds: Raw) -> Iterator[Issue]:
    warn, fail = as_share(thresholds.get("warn_above")), as_share(thresholds.get("fail_above"))
    if warn is not None and fail is not None and warn > fail:
        reason = f"it would never warn, for the partition fails above {thresholds['fail_above']}"
        yield Issue((*key_path, "warn_above"), reason, "write a smaller percentage, or remove it")


# Files ---------------------------------------------------------------------------------------------------


def _landing_issues(raw: Raw) -> Iterator[Issue]:
    files, landing = mapping(raw, "source").get("files"), mapping(raw, "landing")
    calendar = _calendar(landing, as_day(landing.get("start")) or as_day(raw.get("start")), "UTC")
    if calendar and isinstance(files, str) and PLACEHOLDER.search(files):
        try:
            PathTemplate(files, calendar)
        except TemplateError as error:
            yield Issue(("source", "files"), str(error), f"write {{partition:{calendar.key_format}}}")


# Time ----------------------------------------------------------------------------------------------------


def _day_issues(raw: Raw) -> Iterator[Issue]:
    landing_start = mapping(raw, "landing").get("start")
    start, first, end = map(as_day, (raw.get("start"), landing_start, raw.get("end")))
    if start and end and end <= start:
        yield Issue(("end",), f"it is not after the start, {start}", "write a later day, or remove it")
    elif first and end and end <= first:
        yield Issue(("landing", "start"), f"it is not before the end, {end}", "write an earlier day, or remove it")


def _timezone_issues(raw: Raw) -> Iterator[Issue]:
    key_path, session = ("session", "timezone"), mapping(raw, "session")
    zone = session.get("timezone", "UTC")
    if zone == "UTC" or not is_timezone(zone):
        return
    if session.get("partition") == Cadence.hourly:
        yield Issue(key_path, "hours repeat at the end of summer time", "write UTC, or partition: daily")
        return
    calendar = _calendar(session, as_day(raw.get("start")), zone)
    before = min(as_day(raw.get("end")) or _LAST_TRANSITIONS, _LAST_TRANSITIONS)
    if calendar and (day := calendar.torn_midnight(before)):
        reason = f"its clocks skipped or repeated the midnight before {day} and minutes of the evening before that"
        yield Issue(key_path, reason, "write UTC, another zone or a later start")


def _calendar(axis: Raw, start: date | None, zone: str) -> Calendar | None:
    cadence = axis.get("partition", Cadence.daily)
    if not isinstance(cadence, str) or cadence not in Cadence.__members__:
        return None
    return Calendar(Cadence(cadence), midnight(start or _ANY_DAY, zone), zone)
