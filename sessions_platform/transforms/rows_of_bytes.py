"""Rows of bytes in one buffer, in which positions are found, and texts are cut, for all rows at once."""

import sys
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# A string view has 16 bytes: the length, and then up to 12 bytes of text; of a longer text its first four,
# the number of its buffer and where in it the text begins.
_VIEW, _INLINE = 16, 12
_INLINE_MASKS = np.array(
    [np.frombuffer(bytes(4) + b"\xff" * length + bytes(_INLINE - length), np.uint64) for length in range(_INLINE + 1)]
)
# Stands before the first row and behind the last, so that no view reads beyond an end.
_MARGIN = pl.Series([bytes(_VIEW)], dtype=pl.Binary)
_SPACE = 0x20
_BEYOND_ASCII = 0x80  # and below 0xC0: no byte that a character begins with
_LARGEST = 2**31 - 1  # the reach of an offset in a view


class RowsOfBytes:
    """The rows of a Binary series beside each other. Null is as good as empty here."""

    def __init__(self, payloads: pl.Series) -> None:
        arrow = pl.concat([_MARGIN, payloads, _MARGIN]).to_arrow()
        _, offsets, data = arrow.buffers()
        edges = np.frombuffer(offsets, np.int64)[arrow.offset + 1 : arrow.offset + len(payloads) + 2]
        self._data = data
        edges = edges - _VIEW
        self.starts: Numbers = edges[:-1]
        self.ends: Numbers = edges[1:]
        self.bytes = np.frombuffer(data, np.uint8, edges[-1], offset=_VIEW)
        self.payloads = payloads

    @property
    def can_be_viewed(self) -> bool:
        return self._data.size <= _LARGEST and sys.byteorder == "little"

    @cached_property
    def is_utf8(self) -> Flags:
        there = ~is_null(self.payloads)
        if self._all_utf8():
            return there
        suspects = np.flatnonzero(self._rows_of(self.bytes >= _BEYOND_ASCII))
        valid = there.copy()
        valid[suspects] = [_is_utf8(payload) for payload in self.payloads.gather(suspects)]
        return valid

    def _all_utf8(self) -> bool:
        """Not asked of the series, which would look through all that its buffers hold beside it."""
        if self.bytes.max(initial=0) < _BEYOND_ASCII:
            return True
        begins = self.bytes[self.starts[self.starts < self.ends]]
        return not ((begins & 0xC0) == _BEYOND_ASCII).any() and _is_utf8(self.bytes.tobytes())

    def positions(self, byte: int) -> Numbers:
        return np.flatnonzero(self.bytes == byte)

    def hold(self, byte: int) -> Flags:
        """Which rows have the byte in them."""
        return self._rows_of(self.bytes == byte) if byte >= self._lowest else np.zeros(len(self.starts), np.bool_)

    def hold_controls(self) -> Flags:
        """Which rows have a control character in them."""
        return self._rows_of(self.bytes < _SPACE) if self._lowest < _SPACE else np.zeros(len(self.starts), np.bool_)

    @cached_property
    def _lowest(self) -> int:
        return int(self.bytes.min(initial=_SPACE))

    def _rows_of(self, bytes_found: Flags) -> Flags:
        rows = np.zeros(len(self.starts), np.bool_)
        if bytes_found.any():
            rows[np.searchsorted(self.ends, np.flatnonzero(bytes_found), side="right")] = True
        return rows

    def equal(self, starts: Numbers, text: bytes) -> Flags:
        """Where the bytes that begin at `starts` are the text."""
        found = self._at(starts, len(text))
        if found.tobytes() == text * len(starts):  # at once, as it mostly is
            return np.ones(len(starts), np.bool_)
        return found == np.frombuffer(text, found.dtype)

    def texts(self, starts: Numbers, ends: Numbers) -> pl.Series:
        """The bytes between, as text, which they have to be. Long ones are not copied.

        Nobody checks a view again, so that a wrong one would be read from foreign memory.
        """
        lengths = ends - starts
        if lengths.min(initial=0) < 0 or ends.max(initial=0) > len(self.bytes):
            raise IndexError("a text ends before it starts, or behind the last row")
        short = lengths <= _INLINE
        if short.all():
            views = self._inline(starts, lengths)
        else:
            views = self._long(starts, lengths)
            if short.any():
                rows = np.flatnonzero(short)
                views[rows] = self._inline(starts[rows], lengths[rows])
        return pl.Series(pa.Array.from_buffers(pa.string_view(), len(views), [None, pa.py_buffer(views), self._data]))

    def _inline(self, starts: Numbers, lengths: Numbers) -> npt.NDArray[np.uint64]:
        views = self._at(starts, _VIEW, before=4).view(np.uint64).reshape(-1, 2)
        views &= _INLINE_MASKS.take(lengths, axis=0)
        views[:, 0] |= lengths.view(np.uint64)
        return views

    def _long(self, starts: Numbers, lengths: Numbers) -> npt.NDArray[np.uint64]:
        views = np.empty((len(starts), 4), np.uint32)
        views[:, 0] = lengths
        views[:, 1] = self._at(starts, 4).view(np.uint32)
        views[:, 2] = 0
        views[:, 3] = starts + _VIEW
        return views.view(np.uint64)

    def _at(self, starts: Numbers, length: int, before: int = 0) -> npt.NDArray[np.void]:
        """So many bytes from each of the starts on, or from as many `before` it."""
        offset = _VIEW - before
        every = np.ndarray(self._data.size - offset - length + 1, f"V{length}", self._data, offset, strides=(1,))
        return every[starts]


def is_null(values: pl.Series) -> Flags:
    """Quicker than the series where all values are the same in that, as they mostly are."""
    if values.null_count() in {0, len(values)}:
        return np.full(len(values), values.null_count() > 0)
    return values.is_null().to_numpy()


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
