"""Rules that relate a source's format to its other options, and to the columns that are read from it.

They work on the file as YAML has read it, like those of ``stream_checks``, which calls them.
"""

from collections.abc import Iterator
from typing import Any

from sessions_platform.contracts.columns import ENVELOPE
from sessions_platform.contracts.issues import Issue, Raw, mapping

_JSON_TEXT = ("ndjson", "json")
_SYNTAX = b'{}[]",:\\'
# A sample of each script that some encoding of several bytes writes with bytes of ASCII.
_LETTERS = "ソ表能構十貼功許餐蓋珮愧諮乗亅予犾狶"


def format_issues(raw: Raw) -> Iterator[Issue]:
    """Issues of the options of JSON formats.

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
    if not (is_json and isinstance(events, str) and events != "[]"):
        yield from _envelope_issues(mapping(raw, "columns"))


def _envelope_issues(columns: Raw) -> Iterator[Issue]:
    """Columns that are read from an envelope, in a stream whose rows have none."""
    for name in columns:
        for key in ("from", "join"):
            for path in _as_list(mapping(columns, name).get(key)):
                if isinstance(path, str) and path.startswith(ENVELOPE):
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
    except LookupError:
        return True  # the model reports it
    return not any(byte in _SYNTAX for byte in encoded)
