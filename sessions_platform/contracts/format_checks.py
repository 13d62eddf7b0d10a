"""Rules that relate a source's format to its other options, and to the columns that are read from it.

They work on the file as YAML has read it, like those of ``stream_checks``, which calls them.
"""

import re
from collections.abc import Iterator
from typing import Any

from sessions_platform.contracts.columns import ENVELOPE
from sessions_platform.contracts.csv_checks import csv_issues
from sessions_platform.contracts.field_paths import alternatives
from sessions_platform.contracts.formats import WITHIN_TEXT
from sessions_platform.contracts.issues import Issue, KeyPath, Raw, mapping
from sessions_platform.contracts.polars_syntax import group_names, pattern_problem
from sessions_platform.contracts.sources import source_type_of

_REGEX = "regex"
_QUERY = "query"
_JSON_TEXT = ("ndjson", "json")
_FORMAT_OF_PARTS = {"docker": "ndjson", "cri": "regex"}
_WITHIN_TEXT = re.compile(rf"(?:[^.\[\]:]+\.)*{WITHIN_TEXT}[^.\[\]]+(?:\.(?!.*{WITHIN_TEXT}).+)?")
_NAME = re.compile(r"[^.\[\]]+")
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
    is_pair = source.get("format") == _QUERY
    if events is not None and not is_json and not is_pair:
        fix = f"remove it, or set format: {_JSON_TEXT[0]}, {_JSON_TEXT[1]} or {_QUERY}"
        yield Issue(("source", "events"), f"the format {source.get('format')} has no arrays of events", fix)
    elif is_pair and events is not None and not (isinstance(events, str) and _NAME.fullmatch(events)):
        reason = "the array of a query string is the value of one of its names"
        yield Issue(("source", "events"), reason, "write that name, as in events: events")
    if isinstance(events, str) and WITHIN_TEXT in events:
        yield from _within_text_issues(source, events)
    if is_json and (events is not None or source["format"] == "json") and not _keeps_syntax(source.get("encoding")):
        reason = f"{source['encoding']} writes letters with bytes that are brackets or quotes elsewhere"
        yield Issue(("source", "encoding"), reason, "use ndjson without events, or UTF-8 files")
    yield from _parts_issues(source)
    yield from csv_issues(source, keeps_syntax=_keeps_syntax(source.get("encoding")))
    if not (((is_json or is_pair) and isinstance(events, str) and events != "[]") or _has_envelope(source)):
        yield from _envelope_issues(mapping(raw, "columns"))
    yield from _pattern_issues(source, mapping(raw, "columns"))


def _within_text_issues(source: Raw, events: str) -> Iterator[Issue]:
    """A path to an array in a text that can't be followed."""
    if source.get("format") != _JSON_TEXT[0]:
        reason = f"{events!r} leads into a text, which is done line by line"
        yield Issue(("source", "events"), reason, f"set format: {_JSON_TEXT[0]}, or remove {WITHIN_TEXT}")
    elif not _WITHIN_TEXT.fullmatch(events):
        reason = f"{events!r} does not lead to one text by the keys of objects"
        yield Issue(("source", "events"), reason, f"write the keys, as in {WITHIN_TEXT}body.batch or {WITHIN_TEXT}body")
    elif source.get("encoding") not in (None, "utf-8"):
        yield Issue(("source", "encoding"), "events in a text are read in UTF-8 alone", "deliver UTF-8 files")


def _parts_issues(source: Raw) -> Iterator[Issue]:
    """Parts of lines in a source whose records are not those that have them."""
    parts = source.get("parts")
    needed = _FORMAT_OF_PARTS.get(parts) if isinstance(parts, str) else None
    field = mapping(source, "parse").get("field")
    if needed is None:
        return
    if not isinstance(field, str) or "." in field:
        reason = "parts are joined to the line that parse cuts, in a field of the record itself"
        yield Issue(("source", "parts"), reason, "add parse with that field, as in field: log, or remove parts")
    elif source.get("format") != needed:
        reason = f"the records of {parts} are {needed}, not {source.get('format')}"
        yield Issue(("source", "parts"), reason, f"set format: {needed}, or remove parts")


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


def _has_envelope(source: Raw) -> bool:
    """Whether the source itself gives each record an envelope."""
    model = source_type_of(source)
    return model is not None and model.has_envelope


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
