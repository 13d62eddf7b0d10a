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
_INLINE = 12
_INLINE_MASKS = np.array(
    [np.frombuffer(b"\xff" * length + bytes(_INLINE - length), np.uint32) for length in range(_INLINE + 1)]
)
_BEYOND_ASCII = 0x80  # and below 0xC0: no byte that a character begins with
_LARGEST = 2**31 - 1  # the reach of an offset in a view


class RowsOfBytes:
    """The rows of a Binary series beside each other. Null is as good as empty here."""

    def __init__(self, payloads: pl.Series) -> None:
        behind = pl.Series(payloads.name, [bytes(_INLINE)], dtype=pl.Binary)  # so that no view reads beyond the end
        arrow = pl.concat([payloads, behind]).to_arrow()
        _, offsets, data = arrow.buffers()
        edges = np.frombuffer(offsets, np.int64)[arrow.offset : arrow.offset + len(payloads) + 1]
        self._data = data
        self.starts: Numbers = edges[:-1]
        self.ends: Numbers = edges[1:]
        self.bytes = np.frombuffer(data, np.uint8)[: edges[-1]]
        self.payloads = payloads

    @property
    def can_be_viewed(self) -> bool:
        return self._data.size <= _LARGEST and sys.byteorder == "little"

    @cached_property
    def is_utf8(self) -> Flags:
        there = ~is_null(self.payloads)
        if self._all_utf8():
            return there
        suspects = np.flatnonzero(self.hold_any(np.flatnonzero(self.bytes >= _BEYOND_ASCII)))
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

    def hold_any(self, positions: Numbers) -> Flags:
        """Which rows one of the positions is in; as counting them row by row, but for few positions."""
        found = np.zeros(len(self.starts), np.bool_)
        found[np.searchsorted(self.ends, positions, side="right")] = True
        return found

    def equal(self, starts: Numbers, text: bytes) -> Flags:
        """Where the bytes that begin at `starts` are the text."""
        found = self._at(starts, len(text))
        if found.tobytes() == text * len(starts):  # at once, as it mostly is
            return np.ones(len(starts), np.bool_)
        return found == np.frombuffer(text, found.dtype)

    def texts(self, starts: Numbers, ends: Numbers) -> pl.Series:
        """The bytes between, as text, which they have to be. Long ones are not copied."""
        lengths = ends - starts
        views = np.empty((len(starts), 4), np.uint32)
        views[:, 0] = lengths
        short = lengths <= _INLINE
        if short.all():
            views[:, 1:] = self._inline(starts, lengths)
        else:
            views[:, 1:] = self._long(starts)
            if short.any():
                rows = np.flatnonzero(short)
                views[rows, 1:] = self._inline(starts[rows], lengths[rows])
        return _as_series(views, self._data)

    def _inline(self, starts: Numbers, lengths: Numbers) -> npt.NDArray[np.uint32]:
        return self._at(starts, _INLINE).view(np.uint32).reshape(-1, 3) & _INLINE_MASKS[lengths]

    def _long(self, starts: Numbers) -> npt.NDArray[np.uint32]:
        views = np.zeros((len(starts), 3), np.uint32)
        views[:, 0] = self._at(starts, 4).view(np.uint32)
        views[:, 2] = starts
        return views

    def _at(self, starts: Numbers, length: int) -> npt.NDArray[np.void]:
        """So many bytes from each of the starts on."""
        every = np.ndarray(self._data.size - length + 1, f"V{length}", self._data, strides=(1,))
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


def _as_series(views: npt.NDArray[np.uint32], data: pa.Buffer) -> pl.Series:
    return pl.Series(pa.Array.from_buffers(pa.string_view(), len(views), [None, pa.py_buffer(views), data]))
