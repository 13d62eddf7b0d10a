"""Payloads as text, cut into tokens at a delimiter, for all rows of a block at once.

Here: which payloads can be read as text at all (``readable``), the cut (``tokenize``), and the comparison of tokens
with literals (``Tokens.matching``). What the tokens mean is in ``templates`` (which of them are literals and which
are values) and ``scalars`` (of which type a value is). Each operation is one call of polars or NumPy over many rows;
rows are only looked at one by one to find those that are not UTF-8.

All tokens of a block are one polars String series, in the order of the rows. ``Tokens`` are the rows that have
equally many of them, each with the index of its first token: the n-th token of every row is one gather. Its rows can
so be narrowed down again and again while the tokens stay where they are.

Polars keeps a String series as Arrow string views, 16 bytes a string: 4 bytes of length, and then either the whole
string, if it has at most 12 bytes (the rest is zero), or its first 4 bytes and its location in a buffer. So two
strings of at most 12 bytes are equal exactly if their views are. Nearly all literals of a JSON row are that short
(keys, colons, commas). They are compared by their views: NumPy takes the views of all literal tokens of a row at once
and compares them as two 64-bit halves each, because it has no 128-bit integers and compares raw bytes slowly. Longer
literals are compared as strings, one after the other.
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

# Bytes. A token takes 16 bytes however short it is, and a longer row may consist of quotes alone.
LONGEST_ROW = 64 * 1024

_SPACE = 0x20
_NEWLINE = 0x0A
_CONTROLS = [chr(code) for code in range(_SPACE)]
# The most bytes that a string has whose view contains all of it; it is then in no buffer.
_INLINE = 12
_VIEW = np.dtype("V16")
# Bytes, and rows, of which the intermediate results stay in the processor's cache.
_BYTES_AT_ONCE = 512 * 1024
_ROWS_AT_ONCE = 2048
# Rows that are decoded one by one if one of them is not UTF-8.
_UTF8_CHECKED_AT_ONCE = 256


@dataclass(frozen=True)
class Rows:
    """Rows of a block: their row numbers in it, ascending, and their payloads as text (String).

    `has_stand_ins`: the texts are CSV records without their quotes, in which U+0000 stands for each separator that
    was inside quotes.
    """

    numbers: Numbers
    texts: pl.Series
    has_stand_ins: bool = False

    def __len__(self) -> int:
        return len(self.numbers)

    def only(self, keep: pl.Series) -> "Rows":
        """The rows for which `keep` (Boolean) is true."""
        if keep.all():
            return self
        return Rows(self.numbers[keep.to_numpy()], self.texts.filter(keep), self.has_stand_ins)

    def without(self, text: str) -> "Rows":
        """The rows that do not contain the text."""
        return self.only(~self.texts.str.contains(text, literal=True))

    def without_controls(self, separator: str = "") -> "Rows":
        """The rows without control characters (below U+0020), but for what separates fields, as a tab may do.

        A search in every row takes longer than one pass over the buffers that the rows are views of. These contain
        the line terminators between the rows too, so newlines are allowed in them, and then searched in the rows.
        """
        if self.has_stand_ins or separator in _CONTROLS:
            # A stand-in becomes the separator again, which may be a control character itself.
            allowed = {separator} if separator in _CONTROLS else {"\0"}
            others = "".join(control for control in _CONTROLS if control not in allowed)
            return self.only(~self.texts.str.contains(f"[{others}]"))
        if _are_few_of_their_buffers(self.texts) or not _buffers_have_newlines_only(self.texts):
            return self.only(~_has_controls(self.texts))
        kept = self.without("\n")
        inline = (kept.texts.str.len_bytes() <= _INLINE).arg_true()  # in no buffer, so not yet checked
        with_controls = inline.filter(_has_controls(kept.texts.gather(inline)))
        keep = np.ones(len(kept), np.bool_)
        keep[with_controls.to_numpy()] = False
        return kept.only(pl.Series(keep))


def readable(raw: pl.DataFrame) -> Rows:
    """The rows whose payload (Binary) is UTF-8 and whose corrupt_reason (String) is null."""
    numbers, payloads = intact_payloads(raw)
    try:
        return Rows(numbers, payloads.cast(pl.String))
    except pl.exceptions.ComputeError:
        valid = pl.Series(_which_are_utf8(payloads), dtype=pl.Boolean)
        return Rows(numbers[valid.to_numpy()], payloads.filter(valid).cast(pl.String))


def intact_payloads(raw: pl.DataFrame) -> tuple[Numbers, pl.Series]:
    """The row numbers and payloads (Binary, one chunk) of the rows whose corrupt_reason (String) is null."""
    payloads = raw["payload"].rechunk()  # to gather from several chunks is slow
    if raw["corrupt_reason"].null_count() == raw.height:
        return np.arange(raw.height), payloads
    intact = raw["corrupt_reason"].is_null()
    return intact.arg_true().to_numpy().astype(np.int64), payloads.filter(intact)


def _which_are_utf8(payloads: pl.Series) -> Iterator[bool]:
    for start in range(0, len(payloads), _UTF8_CHECKED_AT_ONCE):
        part = payloads[start : start + _UTF8_CHECKED_AT_ONCE]
        try:
            part.cast(pl.String)
        except pl.exceptions.ComputeError:
            yield from map(_is_utf8, part)
        else:
            yield from [True] * len(part)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _buffers_of(texts: pl.Series) -> Iterator[npt.NDArray[np.uint8]]:
    for chunk in texts.get_chunks():
        for buffer in chunk.to_arrow(compat_level=pl.CompatLevel.newest()).buffers()[2:]:
            yield np.frombuffer(buffer, np.uint8)


def _are_few_of_their_buffers(texts: pl.Series) -> bool:
    """Whether less than a quarter of the buffers are these texts, so that it is quicker to search each of them."""
    return 4 * int(texts.str.len_bytes().sum()) < sum(map(len, _buffers_of(texts)))


def _buffers_have_newlines_only(texts: pl.Series) -> bool:
    """Whether the buffers of the string views have no control characters other than newlines."""
    for every in _buffers_of(texts):
        for start in range(0, len(every), _BYTES_AT_ONCE):
            part = every[start : start + _BYTES_AT_ONCE]
            if np.count_nonzero(part < _SPACE) > np.count_nonzero(part == _NEWLINE):
                return False
    return True


def _has_controls(texts: pl.Series) -> pl.Series:
    return texts.str.contains("[\0-\x1f]")


@dataclass(frozen=True)
class Tokens:
    """The tokens of rows that have equally many.

    `rows` are the row numbers, ascending; `count` is how many tokens each row has; `first` is the index of each row's
    first token in `texts` (String), which has the tokens of other rows too.
    """

    rows: Numbers
    count: int
    first: npt.NDArray[np.uint32]
    texts: pl.Series

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> pl.Series:
        """The first token of each row (0), the second (1), and so on."""
        return self.texts[pl.Series(self.first + np.uint32(number))]

    def matching(self, literals: Sequence[tuple[int, str]]) -> "Tokens":
        """The rows whose tokens of these numbers equal these texts."""
        short = [(number, _inline_view(text)) for number, text in literals if len(text.encode()) <= _INLINE]
        rows = self.only(self._have_views(*map(np.array, zip(*short, strict=True)))) if short else self
        for number, text in literals:
            if len(text.encode()) > _INLINE:
                rows = rows.only((rows[number] == text).to_numpy())
        return rows

    def _have_views(self, numbers: Numbers, views: Views) -> Flags:
        """For each row whether its tokens of these numbers have these views, compared as 64-bit halves."""
        every, halves = _views(self.texts), views.view(np.uint64)
        matches = np.ones(len(self), np.bool_)
        for start in range(0, len(self), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            equal = every.take(self.first[part, None] + numbers).view(np.uint64) == halves
            if not equal.all():
                matches[part] = equal.all(axis=1)
        return matches

    def only(self, keep: Flags) -> "Tokens":
        """The rows for which `keep` is true."""
        if keep.all():
            return self
        return Tokens(self.rows[keep], self.count, self.first[keep], self.texts)

    def without(self, rows: Numbers) -> "Tokens":
        """All rows but those of these row numbers."""
        keep = np.ones(self.rows[-1] + 1, np.bool_)
        keep[rows] = False
        return self.only(keep[self.rows])


@dataclass(frozen=True)
class CutRows:
    """Rows that were cut into fields by other means: their row numbers, ascending, and each field's texts (String)."""

    rows: Numbers
    fields: Sequence[pl.Series]

    def __getitem__(self, number: int) -> pl.Series:
        """The first field of each row (0), the second (1), and so on."""
        return self.fields[number]

    def only(self, keep: Flags) -> "CutRows":
        """The rows for which `keep` is true."""
        if keep.all():
            return self
        mask = pl.Series(keep)
        return CutRows(self.rows[keep], [texts.filter(mask) for texts in self.fields])


def _views(texts: pl.Series) -> Views:
    """The Arrow string views of a series of one chunk."""
    arrow = texts.to_arrow(compat_level=pl.CompatLevel.newest())
    return np.frombuffer(arrow.buffers()[1], _VIEW)[arrow.offset :]


def _inline_view(text: str) -> np.void:
    """The string view of a text of at most ``_INLINE`` bytes."""
    return np.void(struct.pack("=I12s", len(text.encode()), text.encode()))


def tokenize(rows: Rows, delimiter: str) -> Iterator[Tokens]:
    """Cut rows at every delimiter, grouped by their number of tokens, largest group first.

    Rows of more than ``LONGEST_ROW`` bytes are left out.
    """
    rows = rows.only(rows.texts.str.len_bytes() <= LONGEST_ROW)
    if not len(rows):
        return
    split = rows.texts.str.split(delimiter)
    counts = split.list.len().to_numpy()
    first = np.cumsum(counts, dtype=np.uint32) - counts
    every = split.explode()
    sizes = np.bincount(counts)
    for count in np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)].tolist():
        group = Tokens(rows.numbers, count, first, every)
        yield group if sizes[count] == len(rows) else group.only(counts == count)
