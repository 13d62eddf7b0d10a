"""What lines of logs lie inside of: the records of syslog, of a journal, of Docker and of Kubernetes.

`source: {inside: docker}` is short for the format of those records and for `parse`, which cuts the line within one of
their fields; and the paths of columns, which are those of the line, lead into that field. Here: the table, and how the
keys are written out. Not here: how a line within a field is cut (``sources.formats.nested``).
"""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from sessions_platform.contracts.issues import Issue, Raw, mapping

# Begins the path to a field of the record around the line, as to one of the envelope around a batch.
_AROUND = "^"
# By the format of files, what a text of it within a field is.
_WITHIN = {"ndjson": "json", "regex": "regex", "logfmt": "logfmt"}

Inside = Literal["docker", "cri", "journald", "syslog", "syslog_5424"]


class Wrapper(NamedTuple):
    """The format of the records, the field that has the line, the pattern of a regex, and whose parts lines have."""

    format: str
    field: str
    pattern: str | None = None
    parts: str | None = None


_PRIORITY = r"(?:<\d+>)?"
# Traditional syslog has no year; rsyslog's own format of files has ISO 8601.
_SYSLOG_TIME = r"(?P<time>[A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2}|\d{4}-\d{2}-\d{2}T\S+)"
_STRUCTURED = r"(?P<data>-|(?:\[(?:[^\]\\]|\\.)*\])+)"
WRAPPERS: dict[Inside, Wrapper] = {
    "docker": Wrapper("ndjson", "log", parts="docker"),
    "cri": Wrapper("regex", "log", r"(?P<time>\S+) (?P<stream>stdout|stderr) (?P<tags>F\S*) (?P<log>.*)", "cri"),
    "journald": Wrapper("ndjson", "MESSAGE"),
    "syslog": Wrapper(
        "regex",
        "message",
        rf"{_PRIORITY}{_SYSLOG_TIME} (?:(?P<host>[^\s\[]+) )?(?P<program>[^\s:\[]+)(?:\[(?P<pid>\d+)\])?: "
        r"(?P<message>.*)",
    ),
    "syslog_5424": Wrapper(
        "regex",
        "message",
        rf"{_PRIORITY}1 (?P<time>\S+) (?P<host>\S+) (?P<program>\S+) (?P<pid>\S+) (?P<msgid>\S+) {_STRUCTURED}"
        r" (?:\x{FEFF})?(?P<message>.*)",
    ),
}


def inside_issues(raw: Raw) -> Iterator[Issue]:
    """Why the lines of a stream can't be inside of what it says.

    Args:
        raw: the stream's file with the keys of its preset, before `unwrapped`.
    """
    source = mapping(raw, "source")
    inside, file_format = source.get("inside"), source.get("format")
    if inside is None:
        return
    if inside not in list(WRAPPERS):  # it may be of any type
        reason = f"lines are known to be inside of {', '.join(WRAPPERS)}"
        yield Issue(("source", "inside"), reason, "name one of these, or state format and parse")
    elif isinstance(file_format, str) and file_format not in _WITHIN:
        reason = f"a record of {file_format} is no line within another record"
        yield Issue(("source", "inside"), reason, f"remove it; lines are of the formats {', '.join(_WITHIN)}")
    elif source.get("parse") is not None or source.get("events") is not None:
        yield Issue(("source", "inside"), "parse and events say where the text is, too", "keep one of them")


def may_be_inside(raw: Raw) -> bool:
    """Whether the records of a stream are lines that can be inside of what it says."""
    return mapping(raw, "source").get("format") in list(_WITHIN) and not any(inside_issues(raw))


def unwrapped(raw: Raw) -> Raw:
    """The keys of a stream with what `inside` is short for written out; the same where it states none, or can't be.

    Args:
        raw: the stream's file with the keys of its preset, short forms written out.
    """
    source, columns = mapping(raw, "source"), mapping(raw, "columns")
    wrapper = WRAPPERS.get(source["inside"]) if isinstance(source.get("inside"), str) else None
    if wrapper is None or not may_be_inside(raw):
        return raw
    line = {"field": wrapper.field, "format": _WITHIN[source["format"]], "pattern": source.get("pattern")}
    kept = {key: value for key, value in source.items() if key not in ("inside", "format", "pattern")}
    around = {"format": wrapper.format, "pattern": wrapper.pattern, "parts": wrapper.parts}
    duplicates = mapping(raw, "duplicates")
    if isinstance(ignored := duplicates.get("ignore"), list):
        fields = [
            path if not isinstance(path, str) or path in columns else _within(wrapper.field, path) for path in ignored
        ]
        raw = {**raw, "duplicates": {**duplicates, "ignore": fields}}
    return {
        **raw,
        "source": {**kept, **_stated(around), "parse": _stated(line)},
        "columns": {name: _column(str(name), column, wrapper.field) for name, column in columns.items()},
    }


def _stated(keys: Raw) -> Raw:
    return {key: value for key, value in keys.items() if value is not None}


def _column(name: str, column: Any, field: str) -> Any:
    """A column whose paths lead into the field."""
    if not isinstance(column, dict):
        return column
    stated = {key: column[key] for key in ("from", "join") if column.get(key) is not None}
    if not stated and column.get("from_file_name") is None:
        stated = {"from": name}
    return {**column, **{key: _within(field, paths) for key, paths in stated.items()}}


def _within(field: str, paths: Any) -> Any:
    if isinstance(paths, list):
        return [_within(field, path) for path in paths]
    if not isinstance(paths, str):
        return paths
    return paths.removeprefix(_AROUND) if paths.startswith(_AROUND) else f"{field}.{paths}"
