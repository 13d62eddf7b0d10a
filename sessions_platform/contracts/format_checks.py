"""Rules that relate a source's format to its other options, and to the columns that are read from it.

They work on the file as YAML has read it, like those of ``stream_checks``, which calls them.
"""

from collections.abc import Iterator
from typing import Any

from sessions_platform.contracts.columns import ENVELOPE
from sessions_platform.contracts.csv_checks import csv_issues
from sessions_platform.contracts.field_paths import alternatives
from sessions_platform.contracts.issues import Issue, KeyPath, Raw, mapping
from sessions_platform.contracts.polars_syntax import group_names, pattern_problem

_REGEX = "regex"
_JSON_TEXT = ("ndjson", "json")
_SYNTAX = b'{}[]",:\\'
# A sample of each script that some encoding of several bytes writes with bytes of ASCII.
_LETTERS = "ソ表能構十貼功許餐蓋珮愧諮乗亅予犾狶"


def format_issues(raw: Raw) -> Iterator[Issue]:
    """Issues of the options of formats that are text.

    Args:
        raw: the stream's file as YAML has read it.
    """
    source = mapping(raw, "source")
    is_json = source.get("format") in _JSON_TEXT
    events = source.get("events")
    if events is not None and not is_json:
        fix = f"remove it, or set format: {_JSON_TEXT[0]} or {_JSON_TEXT[1]}"
        yield Issue(("source", "events"), f"the format {source.get('format')} has no arrays of events", fix)
    if is_json and (events is not None or source["format"] == "json") and not _keeps_syntax(source.get("encoding")):
        reason = f"{source['encoding']} writes letters with bytes that are brackets or quotes elsewhere"
        yield Issue(("source", "encoding"), reason, "use ndjson without events, or UTF-8 files")
    yield from csv_issues(source, keeps_syntax=_keeps_syntax(source.get("encoding")))
    if not (is_json and isinstance(events, str) and events != "[]"):
        yield from _envelope_issues(mapping(raw, "columns"))
    yield from _pattern_issues(source, mapping(raw, "columns"))


def _pattern_issues(source: Raw, columns: Raw) -> Iterator[Issue]:
    """A pattern that is missing, misplaced or names no fields, and columns that are read from none of its groups."""
    nested = mapping(source, "parse")
    yield from _stated_pattern_issues(("source",), source)
    if nested:
        yield from _stated_pattern_issues(("source", "parse"), nested)
    field, names, inner_names = nested.get("field"), _groups(source), _groups(nested)
    for name in columns:
        for key, paths in _stated_paths(str(name), mapping(columns, name)):
            for path in paths:
                within = path.removeprefix(f"{field}.") if isinstance(field, str) else path
                known, group = (inner_names, within) if within != path else (names, path)
                if path == field:
                    reason = f"{path!r} is an object of the fields that parse cuts"
                    yield Issue(("columns", str(name), key), reason, f"name one of them, as in {path}.user")
                elif known and group not in known:
                    fix = f"name one of {', '.join(known)}, or add the group (?P<{group}>…)"
                    yield Issue(("columns", str(name), key), f"the pattern has no group {group!r}", fix)


def _stated_pattern_issues(key_path: KeyPath, described: Raw) -> Iterator[Issue]:
    pattern, file_format = described.get("pattern"), described.get("format")
    if file_format == _REGEX and pattern is None:
        fix = r"add pattern: with a named group for each field, as in '(?P<ip>\S+) (?P<user>\S+)'"
        yield Issue(key_path, "the format regex has no pattern", fix)
    elif pattern is not None and file_format != _REGEX:
        yield Issue((*key_path, "pattern"), f"the format {file_format} has no pattern", "set format: regex")
    elif isinstance(pattern, str) and not pattern_problem(pattern) and not group_names(pattern):
        yield Issue((*key_path, "pattern"), "no group of it has a name", r"name the fields, as in (?P<user>\S+)")


def _groups(described: Raw) -> list[str]:
    """The named groups of a regex; none where there is no valid one."""
    pattern = described.get("pattern")
    is_valid = described.get("format") == _REGEX and isinstance(pattern, str) and not pattern_problem(pattern)
    return group_names(pattern) if is_valid and isinstance(pattern, str) else []


def _stated_paths(name: str, column: Raw) -> Iterator[tuple[str, list[str]]]:
    """The key and the paths that a column states; its own name where it states none."""
    stated = {key: _as_list(column[key]) for key in ("from", "join") if column.get(key) is not None}
    own = {} if column.get("from_file_name") is not None else {"from": [name]}
    for key, paths in (stated or own).items():
        yield key, [each for path in paths if isinstance(path, str) for each in alternatives(path)]


def _envelope_issues(columns: Raw) -> Iterator[Issue]:
    """Columns that are read from an envelope, in a stream whose rows have none."""
    for name in columns:
        for key, paths in _stated_paths(str(name), mapping(columns, name)):
            for path in paths:
                if path.startswith(ENVELOPE):
                    fix = "state the array in source, as in events: batch, or remove the ^"
                    yield Issue(("columns", str(name), key), f"{path!r} is in an envelope, and rows have none", fix)


def _as_list(paths: Any) -> list[Any]:
    return paths if isinstance(paths, list) else [paths]


def _keeps_syntax(encoding: Any) -> bool:
    """Whether an encoding has the bytes of JSON's syntax in no other character."""
    if not isinstance(encoding, str):
        return True
    try:
        encoded = _LETTERS.encode(encoding, "ignore")
    except (LookupError, UnicodeError):
        return True  # the model reports it
    return not any(byte in _SYNTAX for byte in encoded)
