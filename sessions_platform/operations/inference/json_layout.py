"""How a JSON text has its events: a line each, in arrays, in envelopes, or as objects that follow each other.

Here: whether a text is JSON, and where in it the events are. Not here: fields of events (`fields`).
"""

import json
import re
from collections.abc import Iterator
from typing import Any

# Keys under which SDKs and exports put the events of an envelope.
_OF_EVENTS = {
    "events",
    "event",
    "batch",
    "hits",
    "items",
    "records",
    "data",
    "logs",
    "messages",
    "results",
    "rows",
    "value",
}
_DEEPEST = 4
_MOSTLY = 0.9
_HALF = 0.5
_TIME = re.compile(r"^\d{4}-?\d{2}-?\d{2}(?:[T ]|$)")
_EPOCHS = ((9e8, 4e9), (9e11, 4e12), (9e14, 4e15), (9e17, 4e18))
_TOKEN = re.compile(r'"(?P<key>(?:[^"\\]|\\.)*)"(?P<colon>\s*:)?|[{}\[\]]', re.DOTALL)

Found = tuple[dict[str, Any], str, tuple[str, ...]]


def json_layout(text: str, *, is_whole: bool) -> Found | None:
    """The options of a JSON text, what it is in words, and no notes; None where it is no JSON."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    lines = lines if is_whole else lines[:-1]
    values = [value for line in lines if (value := _parsed(line)) is not None]
    objects = [value for value in values if isinstance(value, dict)]
    if lines and len(objects) >= _HALF * len(lines):
        return _in_lines(objects)
    if len(lines) > 1 and sum(isinstance(value, list) for value in values) >= _MOSTLY * len(lines):
        return {"format": "ndjson", "events": "[]"}, "NDJSON, an array of events in each line", ()
    if text.lstrip().startswith("["):
        is_json = bool(values) or _first_element(text) is not None
        return ({"format": "json"}, "JSON, one array of events", ()) if is_json else None
    return _documents(text)


def _in_lines(objects: list[dict[str, Any]]) -> Found:
    path = envelope_path(objects)
    if path is None:
        return {"format": "ndjson"}, "NDJSON, an event in each line", ()
    return {"format": "ndjson", "events": path}, f"NDJSON, envelopes with the events at {path}", ()


def _documents(text: str) -> Found | None:
    """A text of objects that lines do not divide."""
    documents = list(_decoded(text))
    path = envelope_path(documents) if documents else _scanned_path(text)
    if path:
        return {"format": "json", "events": path}, f"JSON, envelopes with the events at {path}", ()
    if documents:
        return {"format": "json"}, "JSON, objects that follow each other", ()
    return None


def envelope_path(documents: list[dict[str, Any]]) -> str | None:
    """The keys that lead to the array of events in most of the documents; None where each is an event itself."""
    for path, elements in _arrays(documents[0], ()):
        if not _has_time(elements[0]):
            continue
        of_events = path[-1].lower() in _OF_EVENTS
        others = [_at(document, path) for document in documents]
        is_in_most = sum(isinstance(other, list) for other in others) >= _MOSTLY * len(documents)
        if is_in_most and (of_events or not _has_time(_without(documents[0], path))):
            return ".".join(path)
    return None


def _arrays(value: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    """The arrays of objects in an object, those nearest to its top first."""
    for key, item in value.items():
        if isinstance(item, list) and item and isinstance(item[0], dict) and "." not in key and key:
            yield (*above, key), item
    for key, item in value.items():
        if isinstance(item, dict) and len(above) < _DEEPEST and "." not in key and key:
            yield from _arrays(item, (*above, key))


def _at(document: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = document
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _without(document: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != path[0]}


def _has_time(value: Any, depth: int = 0) -> bool:
    if isinstance(value, dict):
        return depth < _DEEPEST and any(_has_time(item, depth + 1) for item in value.values())
    if isinstance(value, str):
        return bool(_TIME.match(value)) or (value.isdecimal() and _is_epoch(float(value)))
    return isinstance(value, int | float) and not isinstance(value, bool) and _is_epoch(value)


def _is_epoch(number: float) -> bool:
    return any(least < number < most for least, most in _EPOCHS)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _decoded(text: str) -> Iterator[dict[str, Any]]:
    """The objects at the beginning of a text, up to the first that is cut off or broken."""
    decoder, at = json.JSONDecoder(), 0
    while (start := _after_blanks(text, at)) < len(text):
        try:
            value, at = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            return
        if isinstance(value, dict):
            yield value


def _after_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _first_element(text: str) -> Any:
    """The first element of the array that a text begins; None where there is none, or it is cut off."""
    start = _after_blanks(text, text.index("[") + 1)
    try:
        return json.JSONDecoder().raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None


def _scanned_path(text: str) -> str | None:
    """The keys that lead to the first array of events in an object that is longer than the text."""
    opened: list[str | None] = []  # the key of each object that is open, None of each array
    last = ""
    for token in _TOKEN.finditer(text):
        mark = token[0][0]
        if mark == '"':
            last = token["key"] if token["colon"] else last
        elif mark == "{":
            opened.append(last)
        elif mark == "[":
            keys = [*opened[1:], last]
            element = None if None in opened else _first_element(text[token.start() :])
            if isinstance(element, dict) and _has_time(element):
                return ".".join(str(key) for key in keys)
            opened.append(None)
        elif opened:
            opened.pop()
    return None
