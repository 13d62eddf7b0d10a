"""JSON objects as fields: what one record of NDJSON, JSON or Parquet means.

Of a key that is repeated in an object the last value counts, as in most parsers. Lone surrogates are valid JSON, and
wrong only in the one field that contains them, so they are decoded here and reported by `transforms.parse`. Which
bytes are a record is in `ndjson` and `json_documents`.
"""

import json
import math
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from types import NoneType
from typing import Any, NoReturn

import msgspec

from sessions_platform.contracts.formats import FORMATS, FormatOptions
from sessions_platform.sources.formats.base import Decoder, Fields
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.text_records import decoded

# Deeper payloads are malformed. A limit of our own, because the interpreter's depends on the caller's stack.
DEEPEST = 200

# U+0000 or half of a character, escaped.
ESCAPED_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")

# What messages call a decoded value.
JSON_NAMES = {
    dict: "a JSON object",
    list: "a JSON array",
    str: "a JSON string",
    bool: "a JSON boolean",
    int: "a JSON number",
    float: "a JSON number",
    NoneType: "a JSON null",
}

_decode = msgspec.json.Decoder().decode
_STRING = re.compile(rb'"(?>[^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def json_decoder(options: FormatOptions) -> Decoder:
    """A function from a record to the fields of its object. With keys to an array, only elements are records."""
    encoding = options.encoding
    is_utf8 = encoding == "utf-8" or not FORMATS[options.format].is_text

    def decode(payload: bytes, header: bytes | None) -> Fields:
        fields = json_object(payload if is_utf8 else decoded(payload, encoding).encode())
        if header is None and options.event_keys:
            raise MalformedError(f"has no array at {options.events}")
        return fields

    return decode


def envelope_decoder(options: FormatOptions) -> Callable[[bytes], Fields]:
    """A function from the header of a record to the fields of its envelope. It raises MalformedError."""
    decode = json_decoder(options)

    def envelope(header: bytes) -> Fields:
        try:
            return decode(header, header)
        except MalformedError as broken:
            raise MalformedError(f"its envelope {broken}") from None

    return lru_cache(maxsize=1024)(envelope)


def json_object(payload: bytes) -> Fields:
    """The fields of a JSON object in UTF-8. Raises MalformedError where it isn't one."""
    if _is_too_deep(payload):
        raise MalformedError(f"is nested more than {DEEPEST} deep")
    try:
        value = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        value = _json_with_surrogates(payload, error)
    if type(value) is not dict:
        hint = ": set format: json" if type(value) is list else ""
        raise MalformedError(f"is {JSON_NAMES[type(value)]}, no object{hint}")
    return value


def _json_with_surrogates(payload: bytes, error: Exception) -> Any:
    """By the standard library, which decodes lone surrogates; msgspec rejects the whole payload for them."""
    text = decoded(payload, "utf-8")
    try:
        if ESCAPED_UNSTORABLE.search(payload):
            return json.loads(text, parse_constant=_not_json, parse_float=_finite)
    except (ValueError, RecursionError):
        pass
    raise MalformedError(_broken_rule(text, error)) from None


def _broken_rule(text: str, error: Exception) -> str:
    if not text.strip():
        return "is an empty line"
    if isinstance(error, msgspec.ValidationError):
        return "holds a number that is out of range"
    detail = str(error).removeprefix("JSON is malformed: ").replace("Input data was truncated", "it ends too early")
    return f"is not one JSON object: {detail}"


def _not_json(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _not_json(text)


def _is_too_deep(payload: bytes) -> bool:
    """Checked before parsing, for a parser recurses on the process's own stack."""
    if len(payload) <= DEEPEST or payload.count(b"{") + payload.count(b"[") <= DEEPEST:
        return False
    brackets = _STRING.sub(b"", payload).translate(None, _NO_BRACKETS)
    depths = accumulate(1 if bracket in b"[{" else -1 for bracket in brackets)
    return any(depth > DEEPEST for depth in depths)
