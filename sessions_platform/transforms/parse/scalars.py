"""The values of all rows that fit a template, and the proof that they are values of which type."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from sessions_platform.transforms.parse.templates import Slot
from sessions_platform.transforms.parse.tokens import Flags, Numbers, Tokens

_UNPROVED, _NULL, _BOOLEAN, _INTEGER, _NUMBER, _TEXT = range(6)
_PROVED = (_BOOLEAN, _INTEGER, _NUMBER)

Codes = npt.NDArray[np.int8]

_FRACTION = r"^-?(?:(?:0|[1-9][0-9]*)\.0|[1-9][0-9]*\.[0-9]*[1-9]|0\.0{0,3}[1-9](?:[0-9]*[1-9])?)$"


def _proof(text: pl.Series, code: int) -> pl.Series:
    """Which scalars are of a type, and spelled just as they are written once they have been read."""
    if code == _BOOLEAN:
        return (text == "true") | (text == "false")
    if code == _INTEGER:
        return text.str.contains("^(?:0|-?[1-9][0-9]*)$") & (text.str.len_bytes() <= 18)
    # at most 15 digits, none of them to spare, not below 0.0001: such ones outlive being a double
    return text.str.contains(_FRACTION) & (text.str.len_bytes() <= 16)


class Values:
    """What stands in the slots. `rows` are the rows of which all scalars are proved."""

    def __init__(self, pieces: Tokens, slots: Sequence[Slot]) -> None:
        self._pieces = pieces
        self._texts: dict[str, pl.Series] = {}
        self._types: dict[str, Codes] = {}
        for slot in slots:
            if slot.null == "null":
                self._read_scalars(slot)
            elif slot.null == "" and self.may_be_empty(slot):
                self._types[slot.name] = np.where(self.text(slot) == "", np.int8(_NULL), np.int8(_TEXT))
        self.rows: Numbers = self._pieces.rows

    def _read_scalars(self, slot: Slot) -> None:
        """And leave out the rows in which they are not proved."""
        texts, types = _scalars(self._pieces[slot.piece], slot)
        proved = types != _UNPROVED
        if not proved.all():
            self._leave_out(~proved)
            texts, types = texts.filter(pl.Series(proved)), types[proved]
        self._texts[slot.name], self._types[slot.name] = texts.alias(slot.name), types

    def _leave_out(self, rows: Flags) -> None:
        self._pieces = self._pieces.only(~rows)
        self._types = {name: types[~rows] for name, types in self._types.items()}
        self._texts = {name: texts.filter(pl.Series(~rows)) for name, texts in self._texts.items()}

    def may_be_empty(self, slot: Slot) -> bool:
        return slot.null != "null" and bool((self.text(slot) == "").any())

    def may_be_null(self, slot: Slot) -> bool:
        return slot.name in self._types and bool((self._types[slot.name] == _NULL).any())

    def text(self, slot: Slot) -> pl.Series:
        """As it is written, without quotes."""
        if slot.name not in self._texts:
            self._texts[slot.name] = self._pieces[slot.piece].alias(slot.name)
        return self._texts[slot.name]

    def text_or_null(self, slot: Slot) -> pl.Expr:
        text = pl.col(self.text(slot).name)
        return pl.when(text != slot.null).then(text) if self.may_be_null(slot) else text

    @property
    def nothing(self) -> pl.Series:
        return pl.Series("", [None], dtype=pl.String).new_from_index(0, len(self.rows))

    def frame(self, columns: Mapping[str, pl.Series | pl.Expr]) -> pl.DataFrame:
        """The columns, of which some may be expressions over the texts that have been asked for."""
        made = {name: column for name, column in columns.items() if isinstance(column, pl.Expr)}
        if made:
            texts = pl.DataFrame([pl.Series("", self.rows), *self._texts.values()])
            columns = {**columns, **texts.with_columns(**made).select(*made).to_dict()}
        return pl.DataFrame(columns)

    def kinds(self, slots: Sequence[Slot]) -> Iterator[tuple[int, int]]:
        """The first row of each combination of these slots' types, and how many rows have it."""
        types = {slot.name: self._types[slot.name] for slot in slots if slot.name in self._types}
        mixed = {name: codes for name, codes in types.items() if codes.min() != codes.max()}
        if not mixed:
            return iter([(int(self.rows[0]), len(self.rows))])
        row = pl.col("row")
        found = pl.DataFrame({"row": self.rows, **mixed}).group_by(*mixed).agg(row.min(), rows=pl.len())
        return found.select("row", "rows").iter_rows()


def _scalars(pieces: pl.Series, slot: Slot) -> tuple[pl.Series, Codes]:
    """Each piece's scalar and its type. What doesn't stand between the slot's literals is not proved."""
    is_value = (pieces != f"{slot.before}null{slot.after}").to_numpy()
    if is_value.all():
        return _values(pieces, slot)
    types, places = np.full(len(pieces), _NULL, np.int8), np.zeros(len(pieces), np.uint32)
    texts, types[is_value] = _values(pieces.filter(pl.Series(is_value)), slot)
    places[is_value] = np.arange(1, len(texts) + 1)
    return pl.concat([pl.Series(["null"]), texts], rechunk=True)[pl.Series(places)], types


def _values(pieces: pl.Series, slot: Slot) -> tuple[pl.Series, Codes]:
    texts = pieces.str.strip_prefix(slot.before).str.strip_suffix(slot.after).alias("")
    types = _types(texts)
    stripped = pieces.str.len_bytes() - texts.str.len_bytes()
    types[(stripped != len((slot.before + slot.after).encode())).to_numpy()] = _UNPROVED
    return texts, types


def _types(texts: pl.Series) -> Codes:
    """The type of each text that is a scalar, but not null."""
    types = np.full(len(texts), _UNPROVED, np.int8)
    for code in _PROVED:
        proved = _proof(texts, code)
        if proved.all():  # as mostly
            return np.full(len(texts), code, np.int8)
        types[proved.to_numpy()] = code
    return types
