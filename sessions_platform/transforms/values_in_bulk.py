"""The values of all rows that fit a template, and the proof that they are values of which type."""

from collections.abc import Iterator, Sequence
from types import NoneType

import numpy as np
import numpy.typing as npt
import polars as pl

from sessions_platform.transforms.rows_of_bytes import Numbers, RowsOfBytes
from sessions_platform.transforms.templates import Slot, Spans

_UNPROVED, _NULL, _BOOLEAN, _INTEGER, _NUMBER, _TEXT = range(6)
_CODES = {NoneType: _NULL, bool: _BOOLEAN, int: _INTEGER, float: _NUMBER}

Codes = npt.NDArray[np.int8]

_FRACTION = r"^-?(?:(?:0|[1-9][0-9]*)\.0|[1-9][0-9]*\.[0-9]*[1-9]|0\.0{0,3}[1-9](?:[0-9]*[1-9])?)$"


def _proofs(text: pl.Expr) -> dict[int, pl.Expr]:
    """Which scalars are spelled just as they are written once they have been read."""
    length = text.str.len_bytes()
    return {
        _NULL: text == "null",
        _BOOLEAN: (text == "true") | (text == "false"),
        _INTEGER: text.str.contains("^(?:0|-?[1-9][0-9]*)$") & (length <= 18),
        # At most 15 digits, none of them to spare, not below 0.0001: such ones outlive being a double.
        _NUMBER: text.str.contains(_FRACTION) & (length <= 16),
    }


_PROOFS = _proofs(pl.col("text"))


class Values:
    """What stands in the slots. `rows` are the rows of which all scalars are proved."""

    def __init__(self, lines: RowsOfBytes, spans: Spans, slots: Sequence[Slot]) -> None:
        self._lines = lines
        self._texts: dict[int, pl.Series] = {}
        self._types: dict[int, Codes] = {}
        for slot in slots:
            starts, ends = spans.starts[slot.index], spans.ends[slot.index]
            if slot.null == "":
                self._types[slot.index] = np.where(starts == ends, np.int8(_NULL), np.int8(_TEXT))
            elif slot.null == "null":
                self._texts[slot.index] = lines.texts(starts, ends)
                self._types[slot.index] = _types(self._texts[slot.index], _CODES[slot.type])
        self._spans = spans
        self._leave_out_unproved()
        self.rows: Numbers = self._spans.rows

    def _leave_out_unproved(self) -> None:
        proved = np.ones(len(self._spans.rows), np.bool_)
        for types in self._types.values():
            proved &= types != _UNPROVED
        if not proved.all():
            self._spans = self._spans.filter(proved)
            self._types = {index: types[proved] for index, types in self._types.items()}
            self._texts = {index: texts.filter(proved) for index, texts in self._texts.items()}

    def may_be_null(self, slot: Slot) -> bool:
        return slot.index in self._types and bool((self._types[slot.index] == _NULL).any())

    def text(self, slot: Slot) -> pl.Expr:
        """As it is written, without quotes."""
        if slot.index not in self._texts:
            self._texts[slot.index] = self._lines.texts(self._spans.starts[slot.index], self._spans.ends[slot.index])
        return pl.col(_name(slot.index))

    def text_or_null(self, slot: Slot) -> pl.Expr:
        text = self.text(slot)
        return pl.when(text != slot.null).then(text) if self.may_be_null(slot) else text

    def frame(self) -> pl.DataFrame:
        """The texts that have been asked for, by the names that they go by."""
        return pl.DataFrame([pl.Series("", self.rows), *(t.alias(_name(index)) for index, t in self._texts.items())])

    def kinds(self, slots: Sequence[Slot]) -> Iterator[tuple[int, int]]:
        """The first row of each combination of these slots' types, and how many rows have it."""
        types = {_name(slot.index): self._types[slot.index] for slot in slots if slot.index in self._types}
        mixed = {name: codes for name, codes in types.items() if codes.min() != codes.max()}
        if not mixed:
            return iter([(int(self.rows[0]), len(self.rows))])
        rows = pl.col("row")
        return (
            pl.DataFrame({"row": self.rows, **mixed})
            .group_by(*mixed)
            .agg(rows.min(), rows.len().alias("rows"))
            .select("row", "rows")
            .iter_rows()
        )


def _name(index: int) -> str:
    return f"{index}"


def _types(texts: pl.Series, expected: int) -> Codes:
    """The type of each text that is a scalar. Mostly they are all of the type that the first one is of."""
    frame = texts.to_frame("text")
    if frame.select(_PROOFS[expected].all()).item():
        return np.full(len(texts), expected, np.int8)
    found = pl.lit(_UNPROVED, pl.Int8)
    for code, proof in _PROOFS.items():
        found = pl.when(proof).then(pl.lit(code, pl.Int8)).otherwise(found)
    return frame.select(found).to_series().to_numpy()
