"""The brackets of a JSON text that are outside of its strings, found for a whole block of text at once.

A JSON string contains no newline, so one that is still open at a newline is broken: it counts as closed there. Here
too is where a broken value may end (`broken_end`). Which values are records is in `json_documents` and `json_batches`.
"""

import json
import re
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Bytes = npt.NDArray[np.uint8]

_QUOTE, _LF = b'"\n'
_SEARCHED = b'"\n{}[]'
# What may be in front of a string and behind it.
_BEFORE, _BEHIND = np.zeros(256, bool), np.zeros(256, bool)
_BEFORE[list(b" \t\r\n{[,:\x1e")] = True
_BEHIND[list(b" \t\r\n}],:\x1e")] = True
# Where one value of an array ends and the next object begins.
_BOUNDARY = re.compile(rb"(?<=[^\s,])(\s*,\s*)(?=\{)")
_FIRST_KEY = re.compile(rb'\{\s*"[^"]*"\s*:')
_CLOSES_THE_REST = re.compile(rb"\s*\][\s\]}]*\Z")
# How many places are tried, and how many bytes are read at each, before the rest counts as one value.
_MOST_BOUNDARIES = 100
_TRIED_BYTES = 256 * 1024
# A token that is cut off at the end of a text is an error at its beginning: \u1234, or -Infinity.
_LONGEST_TOKEN = 12
_decode = json.JSONDecoder(strict=True).raw_decode


class Brackets(NamedTuple):
    """Brackets in the order of the text.

    Attributes:
        at: their offsets.
        opens: whether each is an opening one; `square`: whether it is of an array.
        level: in how many others its value is; the same for both brackets of a value.
        misplaced: offsets of quotes that begin or end a string where none can: one before them is missing.
    """

    at: Offsets
    opens: Flags
    square: Flags
    level: Offsets
    misplaced: Offsets

    def first(self, count: int) -> "Brackets":
        return Brackets(self.at[:count], self.opens[:count], self.square[:count], self.level[:count], self.misplaced)


def brackets(text: bytes, depth: int = 0) -> Brackets:
    """The brackets of a text that begins outside of any string, `depth` levels deep."""
    masked = text.replace(b"\\\\", b"__").replace(b'\\"', b"__") if b"\\" in text else text
    data = np.frombuffer(masked, np.uint8)
    at = _found_at(data)
    kinds = data[at]
    is_quote, is_newline = kinds == _QUOTE, kinds == _LF
    quotes = np.cumsum(is_quote)
    if is_newline.any() and (quotes[is_newline] & 1).any():
        quotes = quotes - np.maximum.accumulate(np.where(is_newline, quotes, 0))
    inside = (quotes & 1) == 1
    misplaced = _misplaced(data, at[is_quote], inside[is_quote])
    outside = ~(inside | is_newline | is_quote)
    at, kinds = at[outside], kinds[outside]
    opens = (kinds == ord("{")) | (kinds == ord("["))
    level = np.cumsum(np.where(opens, 1, -1)) + depth - opens
    return Brackets(at, opens, (kinds == ord("[")) | (kinds == ord("]")), level, misplaced)


def _found_at(data: Bytes) -> Offsets:
    """Where quotes, newlines and brackets are."""
    found = data == _QUOTE
    for byte in _SEARCHED[1:]:
        found |= data == byte
    return np.flatnonzero(found)


def _misplaced(data: Bytes, quotes: Offsets, begins: Flags) -> Offsets:
    beside = np.where(begins, quotes - 1, quotes + 1)
    is_inner = (beside >= 0) & (beside < len(data))
    beside = data[beside[is_inner]]
    is_possible = np.where(begins[is_inner], _BEFORE[beside], _BEHIND[beside])
    return quotes[is_inner][~is_possible]


def broken_end(text: bytes, start: int, final: bool) -> int | None:
    """Where a value that begins at `start`, and whose brackets or quotes are not closed, ends.

    That is where the next value begins, as far as can be told: behind the error there has to be an object that can
    be read, if possible one that begins with the same key. None if the text has no error, but only ends too early.
    """
    error = _error_at(text, start)
    if error is None or (error >= len(text.rstrip()) - _LONGEST_TOKEN and not final):
        return None
    boundaries = list(_boundaries(text, start, error))
    first_key = _FIRST_KEY.match(text, start)
    alike = [each for each in boundaries if first_key and text.startswith(first_key[0], each.end())]
    for boundary in (*alike, *boundaries):
        if _error_at(text[: boundary.end() + _TRIED_BYTES], boundary.end()) is None:
            return boundary.start(1)
    if not final:
        return None
    closing = _CLOSES_THE_REST.search(text, start)
    return closing.start() if closing else None


def _boundaries(text: bytes, start: int, error: int) -> list[re.Match[bytes]]:
    """The last boundary before the error, and those behind it."""
    before, behind = [], []
    for boundary in _BOUNDARY.finditer(text, start):
        if boundary.end() <= error:
            before = [boundary]
        elif len(behind) < _MOST_BOUNDARIES:
            behind.append(boundary)
        else:
            break
    return before + behind


def _error_at(text: bytes, start: int) -> int | None:
    """The offset at which a value that begins at `start` breaks JSON's syntax; None where it is whole."""
    at_most = text[start:].decode("latin-1")
    try:
        _decode(at_most)
    except json.JSONDecodeError as error:
        is_open_string = error.msg.startswith("Unterminated string")
        return len(text) if is_open_string else start + error.pos
    except (RecursionError, ValueError):
        return len(text)
    return None
