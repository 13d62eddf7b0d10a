"""Rows of text, and the pieces between their quotes or separators, for all rows at once.

Each operation is one of polars or NumPy over many rows at once, but where some are no UTF-8.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Views = npt.NDArray[np.void]

# A piece takes 16 bytes, however short it is. A longer row may be nothing but quotes.
LONGEST = 64 * 1024

_SPACE = 0x20
_NEWLINE = 0x0A
# A shorter text stands in its view, and in no buffer.
_INLINE = 12
_VIEW = np.dtype("V16")
# So much is looked at once that it stays in the processor's cache: bytes, and rows.
_CACHED = 512 * 1024
_AT_ONCE = 2048
_FEW = 256


@dataclass(frozen=True)
class Rows:
    """Some rows of a block, by their numbers in it, and their texts; or what stands in for the texts."""

    numbers: Numbers
    texts: pl.Series
    stand_in: bool = False

    def __len__(self) -> int:
        return len(self.numbers)

    def only(self, keep: pl.Series) -> "Rows":
        if keep.all():
            return self
        return Rows(self.numbers[keep.to_numpy()], self.texts.filter(keep), self.stand_in)

    def without(self, sign: str) -> "Rows":
        """The rows that don't hold it."""
        return self.only(~self.texts.str.contains(sign, literal=True))

    def without_controls(self) -> "Rows":
        """The rows that hold no control character, but for what stands in for a separator."""
        if self.stand_in:
            return self.only(~self.texts.str.contains("[\x01-\x1f]"))
        if _hold_newlines_alone(self.texts):
            kept = self.without("\n")
            in_no_buffer = (kept.texts.str.len_bytes() <= _INLINE).arg_true()
            bad = in_no_buffer.filter(_has_controls(kept.texts.gather(in_no_buffer)))
            keep = np.ones(len(kept), np.bool_)
            keep[bad.to_numpy()] = False
            return kept.only(pl.Series(keep))
        return self.only(~_has_controls(self.texts))


def readable(raw: pl.DataFrame) -> Rows:
    """The rows that are UTF-8, and of which a file was read."""
    numbers, payloads = np.arange(raw.height), raw["payload"].rechunk()  # from several chunks to gather takes long
    if raw["corrupt_reason"].null_count() < raw.height:
        read = raw["corrupt_reason"].is_null()
        numbers, payloads = read.arg_true().to_numpy(), payloads.filter(read)
    try:
        return Rows(numbers, payloads.cast(pl.String))
    except pl.exceptions.ComputeError:
        valid = pl.Series(_which_are_utf8(payloads), dtype=pl.Boolean)
        return Rows(numbers[valid.to_numpy()], payloads.filter(valid).cast(pl.String))


def _which_are_utf8(payloads: pl.Series) -> Iterator[bool]:
    """One by one only where some are not."""
    for start in range(0, len(payloads), _FEW):
        some = payloads[start : start + _FEW]
        try:
            some.cast(pl.String)
        except pl.exceptions.ComputeError:
            yield from map(_is_utf8, some)
        else:
            yield from [True] * len(some)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _hold_newlines_alone(texts: pl.Series) -> bool:
    """Whether the buffers that hold the texts, and mostly their line ends too, have no other control character."""
    for chunk in texts.get_chunks():
        for buffer in chunk.to_arrow(compat_level=pl.CompatLevel.newest()).buffers()[2:]:
            signs = np.frombuffer(buffer, np.uint8)
            for start in range(0, len(signs), _CACHED):
                some = signs[start : start + _CACHED]
                if np.count_nonzero(some < _SPACE) > np.count_nonzero(some == _NEWLINE):
                    return False
    return True


def _has_controls(texts: pl.Series) -> pl.Series:
    return texts.str.contains("[\0-\x1f]")


@dataclass(frozen=True)
class Tokens:
    """Rows that have equally many pieces. `first` tells where in `pieces` those of each row begin."""

    rows: Numbers
    count: int
    first: npt.NDArray[np.uint32]
    pieces: pl.Series

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> pl.Series:
        """The first piece of each row (0), the second (1), and so on."""
        return self.pieces[pl.Series(self.first + np.uint32(number))]

    def holding(self, literals: Sequence[tuple[int, str]]) -> "Tokens":
        """Those of the rows of which the pieces of these numbers are these texts."""
        short = [(number, _inline(text)) for number, text in literals if len(text.encode()) <= _INLINE]
        rows = self.only(self._are(*map(np.array, zip(*short, strict=True)))) if short else self
        for number, text in literals:
            if len(text.encode()) > _INLINE:
                rows = rows.only((rows[number] == text).to_numpy())
        return rows

    def _are(self, numbers: Numbers, views: Views) -> Flags:
        """Which rows have these views in the pieces of these numbers. All of a row's are looked at before the next."""
        every, halves = _views(self.pieces), views.view(np.uint64)
        found = np.ones(len(self), np.bool_)
        for start in range(0, len(self), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            alike = every.take(self.first[some, None] + numbers).view(np.uint64) == halves
            if not alike.all():
                found[some] = alike.all(axis=1)
        return found

    def only(self, keep: Flags) -> "Tokens":
        if keep.all():
            return self
        return Tokens(self.rows[keep], self.count, self.first[keep], self.pieces)

    def without(self, rows: Numbers) -> "Tokens":
        keep = np.ones(self.rows[-1] + 1, np.bool_)
        keep[rows] = False
        return self.only(keep[self.rows])


def _views(texts: pl.Series) -> Views:
    """A view has 16 bytes: the length of a text, and all of it or where it stands."""
    arrow = texts.to_arrow(compat_level=pl.CompatLevel.newest())
    return np.frombuffer(arrow.buffers()[1], _VIEW)[arrow.offset :]


def _inline(text: str) -> np.void:
    """The view of a text that is short enough to stand in it."""
    return np.void(struct.pack("=I12s", len(text.encode()), text.encode()))


def cut_at(rows: Rows, mark: str) -> Iterator[Tokens]:
    """The rows, cut at a mark, by how many pieces they have: the most rows first. Long ones are left out."""
    rows = rows.only(rows.texts.str.len_bytes() <= LONGEST)
    if not len(rows):
        return
    split = rows.texts.str.split(mark)
    counts = split.list.len().to_numpy()
    first = np.cumsum(counts, dtype=np.uint32) - counts
    every = split.explode()
    sizes = np.bincount(counts)
    for count in np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)].tolist():
        alike = Tokens(rows.numbers, count, first, every)
        yield alike if sizes[count] == len(rows) else alike.only(counts == count)
