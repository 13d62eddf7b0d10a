"""JSON objects as fields: what one record of NDJSON, JSON or Parquet means.

Of a key that is repeated in an object the last value counts, as in most parsers. Lone surrogates are valid JSON, and
wrong only in the one field that contains them, so they are decoded here and reported by `transforms.parse`. Which
bytes are a record is in `ndjson` and `json_documents`. A number that is no integer is a `msgspec.Raw`, its spelling.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from types import NoneType
from typing import Any

import msgspec

from sessions_platform.contracts.formats import FORMATS, FormatOptions
from sessions_platform.sources.formats.base import Decoder, Fields
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.text_records import decoded, text_decoder

# Deeper payloads are malformed. A limit of our own, because the interpreter's depends on the caller's stack.
DEEPEST = 200

# U+0000 or half of a character, escaped.
ESCAPED_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")

# Where one of the constants that Python and others write for lack of a number may be.
_NON_FINITE = re.compile(rb"NaN|Infinity")
_PATH_SHOWN = 100

# What messages call a decoded value.
JSON_NAMES = {
    dict: "a JSON object",
    list: "a JSON array",
    str: "a JSON string",
    bool: "a JSON boolean",
    int: "a JSON number",
    float: "a JSON number",
    msgspec.Raw: "a JSON number",
    NoneType: "a JSON null",
}

_STRING = re.compile(rb'"(?>[^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def json_decoder(options: FormatOptions) -> Decoder:
    """A function from a record to the fields of its object. With keys to an array, only elements are records."""
    as_utf8 = utf8_of(options)
    nulls = options.non_finite == "null"

    def decode(payload: bytes, header: bytes | None) -> Fields:
        fields = json_object(as_utf8(payload), non_finite_as_null=nulls)
        if header is None and options.event_keys:
            raise MalformedError(f"has no array at {options.events}")
        return fields

    return decode


def utf8_of(options: FormatOptions) -> Callable[[bytes], bytes]:
    """A function from a payload to the same text in UTF-8."""
    is_checked_later = options.encoding == "utf-8" and options.invalid_utf8 == "reject"
    if is_checked_later or not FORMATS[options.format].is_text:
        return lambda payload: payload
    text = text_decoder(options)
    return lambda payload: text(payload).encode()


def json_object(payload: bytes, *, non_finite_as_null: bool = False) -> Fields:
    """The fields of a JSON object in UTF-8. Raises MalformedError where it isn't one.

    Args:
        payload: one record.
        non_finite_as_null: whether NaN, Infinity and -Infinity, which JSON does not have, are null.
    """
    value = json_value(payload, non_finite_as_null=non_finite_as_null)
    if type(value) is not dict:
        hint = ": set format: json" if type(value) is list else ""
        raise MalformedError(f"is {JSON_NAMES[type(value)]}, no object{hint}")
    return value


def json_value(payload: bytes, *, non_finite_as_null: bool = False) -> Any:
    """The value of any JSON in UTF-8; the rest as ``json_object``."""
    if _is_too_deep(payload):
        raise MalformedError(f"is nested more than {DEEPEST} deep")
    try:
        return _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _nearly_json(payload, error, non_finite_as_null)


def _nearly_json(payload: bytes, error: Exception, non_finite_as_null: bool) -> Any:
    """By the standard library, which decodes lone surrogates, and NaN; msgspec rejects the whole payload for them."""
    text = decoded(payload, "utf-8")
    if not (ESCAPED_UNSTORABLE.search(payload) or _NON_FINITE.search(payload)):
        raise MalformedError(_broken_rule(text, error)) from None
    try:
        value = json.loads(text, parse_constant=_NonFinite, parse_float=_spelled)
    except (ValueError, RecursionError):
        raise MalformedError(_broken_rule(text, error)) from None
    return value if non_finite_as_null and not _nulled(value) else _only_finite(value)


@dataclass(frozen=True)
class _NonFinite:
    """NaN, Infinity or -Infinity, where a value was expected."""

    spelling: str


def _nulled(value: Any) -> bool:
    """Replace what is not finite by null, in place; whether the value itself is not finite."""
    if isinstance(value, dict | list):
        for key, inner in _items(value):
            if _nulled(inner):
                value[key] = None
    return isinstance(value, _NonFinite)


def _only_finite(value: Any) -> Any:
    """The value. Raises MalformedError, which names the field, where a part of it is not finite."""
    for path, found in _non_finite(value, ""):
        raise MalformedError(f"{path or 'it'} is {found.spelling}, which JSON does not have: set non_finite: null")
    return value


def _non_finite(value: Any, path: str) -> Iterator[tuple[str, _NonFinite]]:
    if isinstance(value, _NonFinite):
        yield path.replace("\0", "\\u0000").encode(errors="backslashreplace").decode()[:_PATH_SHOWN], value
    elif isinstance(value, dict | list):
        for key, inner in _items(value):
            yield from _non_finite(inner, f"{path}[{key}]" if isinstance(value, list) else f"{path}.{key}".lstrip("."))


def _items(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items() if isinstance(value, dict) else enumerate(value))


def _broken_rule(text: str, error: Exception) -> str:
    if not text.strip():
        return "is an empty line"
    if isinstance(error, msgspec.ValidationError):
        return "holds a number that is out of range"
    detail = str(error).removeprefix("JSON is malformed: ").replace("Input data was truncated", "it ends too early")
    return f"is not one JSON object: {detail}"


def _spelled(text: str) -> msgspec.Raw:
    """A number that is no integer, as it is spelled: a double would lose digits, and `1.10` and `1.1` be one."""
    if not math.isfinite(float(text)):
        raise ValueError(text)
    return msgspec.Raw(text.encode())


_decode = msgspec.json.Decoder(float_hook=_spelled).decode


def spelling(number: msgspec.Raw) -> str:
    """The text of a number that is no integer."""
    return bytes(number).decode()


def _is_too_deep(payload: bytes) -> bool:
    """Checked before parsing, for a parser recurses on the process's own stack."""
    if len(payload) <= DEEPEST or payload.count(b"{") + payload.count(b"[") <= DEEPEST:
        return False
    brackets = _STRING.sub(b"", payload).translate(None, _NO_BRACKETS)
    depths = accumulate(1 if bracket in b"[{" else -1 for bracket in brackets)
    return any(depth > DEEPEST for depth in depths)
