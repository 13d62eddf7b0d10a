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

Words = npt.NDArray[np.uint64]

# Quotes, backslashes, newlines, brackets, what may be in front of a string, and what may be behind one.
_CLASSES = (b'"', b"\\", b"\n", b"{}[]", b" \t\r\n{[,:\x1e", b" \t\r\n}],:\x1e")
# For each byte a bit for each class that it is in.
_CLASS_OF = bytes(sum(1 << number for number, bytes_ in enumerate(_CLASSES) if byte in bytes_) for byte in range(256))
# What is classified at once, so that it stays in the processor's cache; whole words.
_BYTES_AT_ONCE = 128 * 1024
_ONE, _HIGHEST = np.uint64(1), np.uint64(63)
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
        newlines: the offsets of all newlines.
    """

    at: Offsets
    opens: Flags
    square: Flags
    level: Offsets
    misplaced: Offsets
    newlines: Offsets

    def first(self, count: int) -> "Brackets":
        """The first brackets alone."""
        parts = {name: getattr(self, name)[:count] for name in ("at", "opens", "square", "level")}
        return self._replace(**parts)


def brackets(text: bytes, depth: int = 0) -> Brackets:
    """The brackets of a text that begins outside of any string, `depth` levels deep.

    What each byte is, is a bit; 64 of them are computed with at once, as simdjson does (Langdale and Lemire, 2019).
    """
    quotes, backslashes, of_newlines, of_brackets, before, behind = _classes(text)
    if backslashes.any():
        quotes &= ~_bits_at(_escaped(_offsets(backslashes)), len(quotes))
    newlines = _offsets(of_newlines)
    inside = _inside(quotes, newlines)
    at = _offsets(of_brackets & ~inside)
    kinds = np.frombuffer(text, np.uint8)[at]
    opens = (kinds == ord("{")) | (kinds == ord("["))
    level = np.cumsum(np.where(opens, 1, -1)) + depth - opens
    misplaced = _offsets(quotes & ~_possible(inside, before, behind, len(text)))
    square = (kinds == ord("[")) | (kinds == ord("]"))
    return Brackets(at, opens, square, level, misplaced, newlines)


def _classes(text: bytes) -> Words:
    """For each class of `_CLASSES` the bytes of the text that are in it."""
    packed = np.zeros((len(_CLASSES), -(-len(text) // 64) * 8), np.uint8)
    for start in range(0, len(text), _BYTES_AT_ONCE):
        kinds = np.frombuffer(text[start : start + _BYTES_AT_ONCE].translate(_CLASS_OF), np.uint8)
        for number in range(len(_CLASSES)):
            bits = np.packbits(kinds & (1 << number), bitorder="little")
            packed[number, start // 8 : start // 8 + len(bits)] = bits
    return packed.view("<u8")


def _escaped(backslashes: Offsets) -> Offsets:
    """What is behind each backslash that isn't escaped itself: of a run every second one."""
    begins_run = np.diff(backslashes, prepend=-2) > 1
    run = np.maximum.accumulate(np.where(begins_run, backslashes, 0))
    return backslashes[(backslashes - run) % 2 == 0] + 1


def _bits_at(offsets: Offsets, words: int) -> Words:
    """Bits at these offsets, which are distinct; one behind the last word is left out."""
    bits = np.zeros(words + 1, np.uint64)
    np.add.at(bits, offsets >> 6, _ONE << (offsets & 63).astype(np.uint64))
    return bits[:-1]


def _offsets(bits: Words) -> Offsets:
    """Where the bits are set."""
    packed = bits.view(np.uint8)
    some = np.flatnonzero(packed != 0)  # of booleans it takes half of the time
    within = np.flatnonzero(np.unpackbits(packed[some], bitorder="little").view(np.bool_))
    return some[within >> 3] * 8 + (within & 7)


def _inside(quotes: Words, newlines: Offsets) -> Words:
    """The bytes of strings, with their opening quote and without their closing one, which a newline is, too."""
    inside = _parity(quotes)
    is_odd = (inside[newlines >> 6] >> (newlines & 63).astype(np.uint64)) & _ONE
    if not is_odd.any():
        return inside
    closing = newlines[np.diff(is_odd, prepend=np.uint64(0)) != 0]  # an odd number of quotes since the one before
    return _parity(quotes ^ _bits_at(closing, len(quotes)))


def _parity(bits: Words) -> Words:
    """For each bit whether the number of bits up to it is odd."""
    parity = bits.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        parity ^= parity << np.uint64(shift)
    is_odd = np.cumsum(parity >> _HIGHEST) & _ONE  # of all words up to this one
    parity[1:] ^= is_odd[:-1] * ~np.uint64(0)
    return parity


def _possible(inside: Words, before: Words, behind: Words, length: int) -> Words:
    """Where a quote may begin a string, by the byte in front of it, or end one, by the byte behind."""
    begins, ends = before << _ONE, behind >> _ONE
    begins[1:] |= before[:-1] >> _HIGHEST
    ends[:-1] |= behind[1:] << _HIGHEST
    begins[:1] |= _ONE
    ends[(length - 1) // 64 :] |= _ONE << np.uint64((length - 1) % 64)
    return (inside & begins) | (~inside & ends)


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
