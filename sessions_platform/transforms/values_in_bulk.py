"""The values of all rows that fit a template, and the proof that they are values of which type."""

from collections.abc import Iterator, Mapping, Sequence
from types import NoneType

import numpy as np
import numpy.typing as npt
import polars as pl

from sessions_platform.transforms.rows_of_bytes import Flags, Numbers, RowsOfBytes
from sessions_platform.transforms.templates import Slot, Spans

_UNPROVED, _NULL, _BOOLEAN, _INTEGER, _NUMBER, _TEXT = range(6)
_CODES = {NoneType: _NULL, bool: _BOOLEAN, int: _INTEGER, float: _NUMBER}

Codes = npt.NDArray[np.int8]

_FRACTION = r"^-?(?:(?:0|[1-9][0-9]*)\.0|[1-9][0-9]*\.[0-9]*[1-9]|0\.0{0,3}[1-9](?:[0-9]*[1-9])?)$"


def _proof(text: pl.Expr, code: int) -> pl.Expr:
    """Which scalars are of a type, and spelled just as they are written once they have been read."""
    match code:
        case 1:
            return text == "null"
        case 2:
            return (text == "true") | (text == "false")
        case 3:
            return text.str.contains("^(?:0|-?[1-9][0-9]*)$") & (text.str.len_bytes() <= 18)
        case _:  # at most 15 digits, none of them to spare, not below 0.0001: such ones outlive being a double
            return text.str.contains(_FRACTION) & (text.str.len_bytes() <= 16)


class Values:
    """What stands in the slots. `rows` are the rows of which all scalars are proved."""

    def __init__(self, lines: RowsOfBytes, spans: Spans, slots: Sequence[Slot]) -> None:
        self._lines = lines
        self._spans = spans
        self._texts: dict[str, pl.Series] = {}
        scalars = [slot for slot in slots if slot.null == "null"]
        self._types = _types(scalars, pl.DataFrame([self.text(slot) for slot in scalars])) if scalars else {}
        for slot in slots:
            if slot.null == "" and self.may_be_empty(slot):
                self._types[slot.name] = np.where(self._is_empty(slot), np.int8(_NULL), np.int8(_TEXT))
        self._leave_out_unproved()
        self.rows: Numbers = self._spans.rows

    def _leave_out_unproved(self) -> None:
        proved = np.ones(len(self._spans.rows), np.bool_)
        for types in self._types.values():
            proved &= types != _UNPROVED
        if not proved.all():
            self._spans = self._spans.filter(proved)
            self._types = {name: types[proved] for name, types in self._types.items()}
            self._texts = {name: texts.filter(proved) for name, texts in self._texts.items()}

    def _is_empty(self, slot: Slot) -> Flags:
        return self._spans.starts[slot.index] == self._spans.ends[slot.index]

    def may_be_empty(self, slot: Slot) -> bool:
        return bool(self._is_empty(slot).any())

    def may_be_null(self, slot: Slot) -> bool:
        return slot.name in self._types and bool((self._types[slot.name] == _NULL).any())

    def text(self, slot: Slot) -> pl.Series:
        """As it is written, without quotes."""
        if slot.name not in self._texts:
            texts = self._lines.texts(self._spans.starts[slot.index], self._spans.ends[slot.index])
            self._texts[slot.name] = texts.alias(slot.name)
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


def _types(scalars: Sequence[Slot], texts: pl.DataFrame) -> dict[str, Codes]:
    """The type of each text that is a scalar. Mostly they are all of the type that the example's is of."""
    expected = {slot.name: _CODES[slot.type] for slot in scalars}
    alike = texts.select(_proof(pl.col(name), code).all() for name, code in expected.items()).row(0, named=True)
    if not all(alike.values()):
        texts = texts.with_columns(_type(pl.col(name)) for name in expected if not alike[name])
    return {
        name: np.full(texts.height, code, np.int8) if alike[name] else texts[name].to_numpy()
        for name, code in expected.items()
    }


def _type(text: pl.Expr) -> pl.Expr:
    found = pl.lit(_UNPROVED, pl.Int8)
    for code in _CODES.values():
        found = pl.when(_proof(text, code)).then(pl.lit(code, pl.Int8)).otherwise(found)
    return found.alias(text.meta.output_name())
