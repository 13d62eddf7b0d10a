"""The compiled scanner, loaded and called through ctypes. Payloads and values are Arrow views; no byte is copied."""

import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from sessions_platform.scanner.build import library_file
from sessions_platform.scanner.views import NUMBER, POINTER, VIEW, Block, Texts, series
from sessions_platform.settings import scanner_is_on

# As in scanner.c.
MOST_FIELDS = 64
# Offsets in views have 32 bits.
MOST_TEXT = 2**32 - 1
_UUID_BYTES = 36
MOST_UUIDS = MOST_TEXT // _UUID_BYTES
# As in messages.c: what a record's size takes, and an envelope beside its beginning and its key.
_SIZE_BYTES, _ENVELOPE_BYTES = 21, 70


@dataclass(frozen=True)
class Scanned:
    """What was read of some payloads, in their order: the plain rows, and gaps in place of all others.

    Attributes:
        gaps: how many rows are left out.
        texts: for each key, or field, the text of its value (String), null where it is null or absent, and in gaps.
        may_be_blank: for each of them whether a text is empty, or begins with a blank.
        shapes: for each row which order and kinds of fields it has: a number that rows alike have in common; 0 in gaps.
        views: the memory of the texts' views, for each key or field one for each row. Nothing else is in it, so that
            whoever has these texts for himself may write into gaps.
    """

    gaps: int
    texts: list[pl.Series]
    may_be_blank: npt.NDArray[np.bool_]
    shapes: npt.NDArray[np.uint8]
    views: npt.NDArray[np.void]


class _Columns(ctypes.Structure):
    _fields_ = (
        ("texts", POINTER),
        ("size", NUMBER),
        ("used", NUMBER),
        ("values", POINTER),
        ("present", POINTER),
        ("stride", NUMBER),
        ("may_be_blank", POINTER),
        ("shape", POINTER),
    )


class _Reading:
    """The memory of one call: payloads as scanner.c takes them, and what it writes of them."""

    def __init__(self, payloads: pl.Series, fields: int) -> None:
        self._payloads = Texts(payloads)
        self._buffers, self.block, height = self._payloads.buffers, self._payloads.block, len(payloads)
        self._values = np.empty((fields, height), VIEW)
        self._present = np.zeros((fields, (height + 7) // 8), np.uint8)
        self._may_be_blank = np.zeros(fields, np.uint8)
        self._shapes = np.empty(height, np.uint8)
        self._texts = np.empty(min(int(self._payloads.sizes.sum()), MOST_TEXT), np.uint8)
        texts = (self._texts.ctypes.data, self._texts.size, 0)
        values = (self._values.ctypes.data, self._present.ctypes.data, self._present.shape[1])
        self.columns = _Columns(*texts, *values, self._may_be_blank.ctypes.data, self._shapes.ctypes.data)

    def scanned(self, rows: int) -> Scanned:
        """What was read, once so many rows were."""
        import pyarrow as pa

        used, height = self.columns.used, len(self._shapes)
        buffers = [*self._buffers, pa.py_buffer(self._texts[:used])] if used else self._buffers
        texts = [
            series(pa.Array.from_buffers(pa.string_view(), height, [*map(pa.py_buffer, of_field), *buffers]))
            for of_field in zip(self._present, self._values, strict=True)
        ]
        return Scanned(height - rows, texts, self._may_be_blank.astype(np.bool_), self._shapes, self._values)


class Scanner:
    """The library of a file. Raises OSError where it can't be loaded, AttributeError where it is another one."""

    def __init__(self, file: Path) -> None:
        library = ctypes.CDLL(str(file))
        block, columns = ctypes.POINTER(Block), ctypes.POINTER(_Columns)
        self._count = _function(library.count_lines, NUMBER, ctypes.c_char_p, NUMBER)
        self._has_odd = _function(library.has_odd_line, ctypes.c_int32, ctypes.c_char_p, NUMBER, ctypes.c_uint8)
        self._split = _function(library.split_lines, NUMBER, ctypes.c_char_p, *[NUMBER] * 3, *[POINTER] * 2)
        names = (ctypes.c_char_p, POINTER, ctypes.c_int32)
        self._objects = _function(library.read_objects, NUMBER, block, *names, columns)
        form = (ctypes.c_int32, ctypes.c_uint8, ctypes.c_uint8, ctypes.c_int32)
        self._records = _function(library.read_records, NUMBER, block, *form, columns)
        texts = (POINTER, ctypes.c_int32, ctypes.c_uint8)
        self._write_uuids = _function(library.write_uuids, ctypes.c_int32, *texts, *[POINTER] * 2)
        records = (ctypes.c_char_p, POINTER, NUMBER)
        self._frame_records = _function(library.frame_records, NUMBER, *records, *[POINTER] * 2)
        numbers = (ctypes.c_char_p, NUMBER, POINTER, POINTER)
        self.find_texts = _function(library.find_texts, NUMBER, POINTER, NUMBER, POINTER)
        self.fill_slots = _function(library.fill_slots, None, POINTER)
        self._write_envelopes = _function(library.write_envelopes, NUMBER, *numbers, *records, *[POINTER] * 2)

    def count_lines(self, text: bytes) -> int:
        """How many lines a text has. A line feed ends a line; what follows the last one is a line, too."""
        return self._count(text, len(text))

    def has_odd_line(self, text: bytes, byte: int) -> bool:
        """Whether a line of a text has an odd number of a byte."""
        return bool(self._has_odd(text, len(text), byte))

    def lines(self, text: bytes, start: int, count: int) -> tuple[pl.Series, pl.Series, int]:
        """So many lines of a text, what ends each (Binary): LF, CR and LF, or nothing; and where the next one starts.

        Args:
            text: of at most MOST_TEXT bytes.
            start: where the first of them starts.
            count: no more than there are.
        """
        import pyarrow as pa

        views = np.empty((2, count), VIEW)
        lines, terminators = views
        end = self._split(text, len(text), start, count, lines.ctypes.data, terminators.ctypes.data)
        buffers = [[None, *map(pa.py_buffer, each)] for each in ([lines, text], [terminators])]
        payloads, ends = (series(pa.Array.from_buffers(pa.binary_view(), count, each)) for each in buffers)
        return payloads, ends, end

    def objects(self, payloads: pl.Series, keys: Sequence[str]) -> Scanned:
        """Read the plain JSON objects.

        Args:
            payloads: the rows (Binary), without nulls.
            keys: those that a plain row may have, from 1 to MOST_FIELDS, each once; without what JSON escapes.
        """
        reading, names = _Reading(payloads, len(keys)), [key.encode() for key in keys]
        lengths = np.array(list(map(len, names)), np.int32)
        return reading.scanned(
            self._objects(reading.block, b"".join(names), lengths.ctypes.data, len(names), reading.columns)
        )

    def records(self, payloads: pl.Series, fields: int, separator: str, quote: str | None, *, is_json: bool) -> Scanned:
        """Read the plain records of CSV.

        Args:
            payloads: the rows (Binary), without nulls.
            fields: how many a plain record has, from 1 to MOST_FIELDS.
            separator: one character of ASCII.
            quote: another one; None where quotes are data.
            is_json: whether texts have to be JSON strings as they are.
        """
        reading = _Reading(payloads, fields)
        form = (fields, ord(separator), ord(quote or separator), is_json)
        return reading.scanned(self._records(reading.block, *form, reading.columns))

    def uuids(self, columns: Sequence[pl.Series], separator: str) -> pl.Series:
        """The UUID of each row (String): the MD5 over its texts, joined by a separator.

        Args:
            columns: one or more of type String, without nulls; of fewer rows than MOST_UUIDS.
            separator: one character of ASCII.
        """
        import pyarrow as pa

        height, texts = len(columns[0]), [Texts(column) for column in columns]
        uuids, views = np.empty(height * _UUID_BYTES, np.uint8), np.empty(height, VIEW)
        blocks = (Block * len(texts))(*(text.block for text in texts))
        if not self._write_uuids(blocks, len(texts), ord(separator), uuids.ctypes.data, views.ctypes.data):
            raise RuntimeError("a text is in none of its column's buffers")
        return series(pa.Array.from_buffers(pa.string_view(), height, [None, *map(pa.py_buffer, (views, uuids))]))

    def framed(self, records: Sequence[bytes]) -> tuple[memoryview, pl.Series] | None:
        """Records as their digest takes them, each behind its size and a line feed; and as a column (Binary).

        None where that is more than MOST_TEXT. The column's bytes are those of the text.
        """
        joined, sizes = b"".join(records), np.fromiter(map(len, records), np.int64, len(records))
        if (most := len(joined) + _SIZE_BYTES * len(records)) > MOST_TEXT:
            return None
        text, views = np.empty(most, np.uint8), np.empty(len(records), VIEW)
        places = (text.ctypes.data, views.ctypes.data)
        text = text[: self._frame_records(joined, sizes.ctypes.data, len(records), *places)]
        return text.data, _binary(views, text)

    def envelopes(
        self,
        beginning: bytes,
        offsets: Sequence[int],
        times: Sequence[int],
        keys: Sequence[bytes | None],
    ) -> pl.Series | None:
        """The JSON objects of Kafka's messages (Binary), with their members `timestamp` and `key`.

        None where a key is other than ASCII that JSON does not escape, or where that is more than MOST_TEXT.

        Args:
            beginning: of each object, up to its offset; longer than what is inline in a view.
            offsets: of each message.
            times: of each, in milliseconds.
            keys: of each.
        """
        sizes, joined = _sizes(keys), b"".join(filter(None, keys))
        if (most := len(joined) + (len(beginning) + _ENVELOPE_BYTES) * len(keys)) > MOST_TEXT:
            return None
        text, views = np.empty(most, np.uint8), np.empty(len(keys), VIEW)
        both = [_numbers(offsets), _numbers(times)]
        numbers = (beginning, len(beginning), *(each.ctypes.data for each in both))
        places = (text.ctypes.data, views.ctypes.data)
        used = self._write_envelopes(*numbers, joined, sizes.ctypes.data, len(keys), *places)
        return None if used < 0 else _binary(views, text[:used])


def _sizes(keys: Sequence[bytes | None]) -> npt.NDArray[np.int64]:
    """The size of each key; -1 where there is none."""
    if all(keys):  # without a condition for each
        return np.fromiter(map(len, cast("Sequence[bytes]", keys)), np.int64, len(keys))
    return np.array([-1 if key is None else len(key) for key in keys], np.int64)


def _numbers(numbers: Sequence[int]) -> npt.NDArray[np.int64]:
    if isinstance(numbers, range):
        return np.arange(numbers.start, numbers.stop)
    return np.fromiter(numbers, np.int64, len(numbers))


def _binary(views: npt.NDArray[np.void], text: npt.NDArray[np.uint8]) -> pl.Series:
    """The bytes to which views of a text lead."""
    import pyarrow as pa

    return series(pa.Array.from_buffers(pa.binary_view(), len(views), [None, *map(pa.py_buffer, (views, text))]))


def _function(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    function.restype, function.argtypes = result, arguments
    return function


def scanner() -> Scanner | None:
    """The compiled scanner; None where it is not there, or switched off."""
    return _loaded() if scanner_is_on(os.environ) else None


@cache
def _loaded() -> Scanner | None:
    try:
        return Scanner(library_file())
    except (OSError, AttributeError):
        return None
