"""The values of rows that match a template: each slot as one series of texts, and of which JSON type they are.

Here: how a JSON scalar is recognized, and which rows are left out because one of theirs is not. Where values are in a
row is in ``templates``; what columns are made of them is in ``vectorized``.

A number is only recognized if its text is what the row parser writes after reading it, because its text is taken as it
is. An integer has no leading zeros, is not ``-0``, and has few enough digits for 64 bits. Another number is its own
spelling, in both parsers; one with an exponent, which may be out of range, is left to the row parser.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from sessions_platform.transforms.parse.templates import Slot
from sessions_platform.transforms.parse.tokens import CutRows, Flags, Numbers, Tokens, Views

_UNRECOGNIZED, NULL, _BOOLEAN, _INTEGER, _NUMBER, TEXT = range(6)
_SCALAR_TYPES = (_BOOLEAN, _INTEGER, _NUMBER)

TypeCodes = npt.NDArray[np.int8]

# Of types, before those that do not occur get no numbers.
_MOST_COMBINATIONS = 1 << 16
_MOST_INTEGER_BYTES = 18
_MOST_FRACTION_BYTES = 256
_FRACTION = r"^-?(?:0|[1-9][0-9]*)\.[0-9]+$"


def _is_of_type(text: pl.Series, code: int) -> pl.Series:
    """Which texts are scalars of a type, spelled as the row parser writes them."""
    if code == _BOOLEAN:
        return (text == "true") | (text == "false")
    if code == _INTEGER:
        return text.str.contains("^(?:0|-?[1-9][0-9]*)$") & (text.str.len_bytes() <= _MOST_INTEGER_BYTES)
    return text.str.contains(_FRACTION) & (text.str.len_bytes() <= _MOST_FRACTION_BYTES)


class Values:
    """The values in the slots of rows that match a template.

    `rows` are the row numbers that are left: those in which every scalar was recognized. All series have one value
    for each of them, in this order; so has a gap between them (``ScannedValues``), of which nothing is read.

    Args:
        tokens: the rows whose literals match.
        slots: the template's slots.
    """

    def __init__(self, tokens: Tokens | CutRows, slots: Sequence[Slot]) -> None:
        self._tokens = tokens
        self._texts: dict[str, pl.Series] = {}
        self._types: dict[str, TypeCodes] = {}
        for slot in slots:
            if slot.null == "null":
                self._read_scalars(slot)
            elif slot.null is not None and (is_null := self.text(slot) == slot.null).any():
                self._types[slot.name] = np.where(is_null, np.int8(NULL), np.int8(TEXT))

    @property
    def rows(self) -> Numbers:
        """The numbers of the rows that are left."""
        return self._tokens.rows

    def _read_scalars(self, slot: Slot) -> None:
        """Read a slot's scalars, and leave out the rows in which they are not recognized."""
        texts, types = _scalars(self._tokens[slot.token], slot)
        recognized = types != _UNRECOGNIZED
        if not recognized.all():
            self.leave_out(~recognized)
            texts, types = texts.filter(pl.Series(recognized)), types[recognized]
        self._texts[slot.name], self._types[slot.name] = texts.alias(slot.name), types

    def leave_out(self, rows: Flags) -> None:
        """Leave out the rows for which it is true."""
        self._tokens = self._tokens.only(~rows)
        self._types = {name: types[~rows] for name, types in self._types.items()}
        self._texts = {name: texts.filter(pl.Series(~rows)) for name, texts in self._texts.items()}

    @property
    def views_with_gaps(self) -> Views | None:
        """The memory of all texts' views, if there are gaps; these are then in place of all other rows of the block."""
        return None

    def add(self, slot: Slot, texts: pl.Series) -> None:
        """Add a slot that is in no token, with its text by row number; null where it is null."""
        own = texts.gather(self._tokens.rows)
        self._types[slot.name] = np.where(own.is_null().to_numpy(), np.int8(NULL), np.int8(TEXT))
        self._texts[slot.name] = own.fill_null(slot.null or "").alias(slot.name)

    def may_be_null(self, slot: Slot) -> bool:
        """Whether the slot is null in any row."""
        return self.nulls_in(slot) > 0

    def nulls_in(self, slot: Slot) -> int:
        """In how many rows the slot is null."""
        return int(np.count_nonzero(self._types[slot.name] == NULL)) if slot.name in self._types else 0

    def may_be_blank(self, slot: Slot) -> bool:
        """Whether a text of the slot may be blank; none of a scalar is."""
        return slot.null != "null"

    def text(self, slot: Slot) -> pl.Series:
        """The slot's values as they are written (String), without quotes; null as its text."""
        if slot.name not in self._texts:
            self._texts[slot.name] = self._tokens[slot.token].alias(slot.name)
        return self._texts[slot.name]

    def stated(self, slot: Slot) -> pl.Series:
        """The same, and null where the value is null."""
        texts = self.text(slot)
        if not self.may_be_null(slot):
            return texts
        return pl.select(pl.when(pl.lit(texts) != slot.null).then(pl.lit(texts))).to_series()

    def instants(self, slot: Slot) -> pl.Series | None:  # noqa: ARG002
        """The slot's values as instants (Datetime, us, UTC), where they came as such."""
        return None

    def text_or_null(self, slot: Slot) -> pl.Expr:
        """The same as an expression for ``frame``."""
        text = pl.col(self.text(slot).name)
        return pl.when(text != slot.null).then(text) if self.may_be_null(slot) else text

    @property
    def nulls(self) -> pl.Series:
        """A String column of nulls."""
        return _nulls(len(self._tokens.rows))

    def frame(self, columns: Mapping[str, pl.Series | pl.Expr]) -> pl.DataFrame:
        """The columns by name. Expressions are over the names of slots that ``text`` was called for."""
        made = {name: column for name, column in columns.items() if isinstance(column, pl.Expr)}
        if made:
            texts = pl.DataFrame([pl.Series("", self._tokens.rows), *self._texts.values()])
            columns = {**columns, **texts.with_columns(**made).select(*made).to_dict()}
        return pl.DataFrame(columns)

    def type_combinations(self, slots: Sequence[Slot]) -> Iterator[tuple[int, int]]:
        """For each combination of these slots' types that occurs, the number of its first row and how many rows."""
        types = {slot.name: self._types[slot.name] for slot in slots if slot.name in self._types}
        mixed = {name: codes for name, codes in types.items() if codes.min() != codes.max()}
        if not mixed:
            return iter([(int(self.rows[0]), len(self.rows))])
        combination = _combined(list(mixed.values()))
        counts = np.bincount(combination)
        first = np.empty_like(counts)
        first[combination[::-1]] = self.rows[::-1]  # the last that is assigned stays, and rows are ascending
        found = np.flatnonzero(counts)
        return zip(first[found].tolist(), counts[found].tolist(), strict=True)


def _combined(types: list[TypeCodes]) -> Numbers:
    """A small number for each combination of types."""
    combined = np.zeros(len(types[0]), np.intp)
    for codes in types:
        low, high = int(codes.min()), int(codes.max())
        combined = combined * (high - low + 1) + (codes - low)
        if combined.max() > _MOST_COMBINATIONS:
            combined = np.unique(combined, return_inverse=True)[1]
    return combined


class NullableValues(Values):
    """Values that were not cut out of a text: they are null where they are null, and never the text that means it."""

    def stated(self, slot: Slot) -> pl.Series:
        """The slot's texts, null where the value is null."""
        return self.text(slot)

    def text_or_null(self, slot: Slot) -> pl.Expr:
        """The same as an expression for ``frame``."""
        return pl.col(self.text(slot).name)


@lru_cache(maxsize=2)  # as large as texts, and the same length recurs
def _nulls(rows: int) -> pl.Series:
    return pl.Series("", [None], dtype=pl.String).new_from_index(0, rows)


def _scalars(tokens: pl.Series, slot: Slot) -> tuple[pl.Series, TypeCodes]:
    """The scalar in each token and its type; unrecognized where it is not between the slot's literals."""
    is_value = (tokens != f"{slot.before}null{slot.after}").to_numpy()
    if is_value.all():
        return _values(tokens, slot)
    types, value_numbers = np.full(len(tokens), NULL, np.int8), np.zeros(len(tokens), np.uint32)
    texts, types[is_value] = _values(tokens.filter(pl.Series(is_value)), slot)
    value_numbers[is_value] = np.arange(1, len(texts) + 1)
    return pl.concat([pl.Series(["null"]), texts], rechunk=True)[pl.Series(value_numbers)], types


def _values(tokens: pl.Series, slot: Slot) -> tuple[pl.Series, TypeCodes]:
    texts = tokens.str.strip_prefix(slot.before).str.strip_suffix(slot.after).alias("")
    types = _types(texts)
    stripped = tokens.str.len_bytes() - texts.str.len_bytes()
    types[(stripped != len((slot.before + slot.after).encode())).to_numpy()] = _UNRECOGNIZED
    return texts, types


def _types(texts: pl.Series) -> TypeCodes:
    """The type of each text that is a scalar other than null."""
    types = np.full(len(texts), _UNRECOGNIZED, np.int8)
    for code in _SCALAR_TYPES:
        is_of_type = _is_of_type(texts, code)
        if is_of_type.all():  # the usual case
            return np.full(len(texts), code, np.int8)
        types[is_of_type.to_numpy()] = code
    return types
