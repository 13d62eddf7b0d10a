"""The stream's columns of rows that match a template: the part of the fast path that all layouts share.

Here: which of a template's slots each column is made of, and what becomes of their texts. Not here: how rows are cut
and matched (``vectorized``, ``typed_rows``), and what a slot's values are (``scalars``, ``typed_rows``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from sessions_platform.contracts.columns import Column, ColumnType
from sessions_platform.contracts.field_paths import Match, Parsed, steps_of
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.registry import open_format
from sessions_platform.sources.formats.typed.payloads import with_payloads
from sessions_platform.transforms.parse.cleaning import Cleaning
from sessions_platform.transforms.parse.envelopes import EnvelopeTexts
from sessions_platform.transforms.parse.paths import value_at
from sessions_platform.transforms.parse.properties import properties_of
from sessions_platform.transforms.parse.row_parser import Tree, has_envelope_paths, paths_of, unnamed
from sessions_platform.transforms.parse.scalars import Values
from sessions_platform.transforms.parse.templates import Fields, Slot, Template
from sessions_platform.transforms.parse.tokens import CutRows, Numbers, Tokens, Views
from sessions_platform.transforms.schema_drift import Entered, RowSignature, entered_objects

_WITH_OFFSET = "%+"


@dataclass(frozen=True)
class VectorizedRows:
    """Rows without parse errors: their row numbers, and in this order `columns` (the stream's columns and properties).

    `signatures` are all of theirs; their `first` is a row number. If there are `views_with_gaps`, `columns` have a row
    for each of the block, and what is in those of other rows means nothing; the views are memory that no other has.
    """

    rows: Numbers
    columns: pl.DataFrame
    signatures: list[RowSignature]
    views_with_gaps: Views | None = None


@dataclass(frozen=True)
class Plan:
    """What the columns of a template's rows are made of.

    `columns` are the slots at each column's paths, in their order; `extras` the fields that no path names, and
    `named` the tree of the paths that name the others.
    """

    template: Template
    columns: dict[str, list[Slot]]
    extras: Fields
    named: Tree


class TemplateReader:
    """Makes the stream's columns of rows that match a template."""

    def __init__(self, raw: pl.DataFrame, stream: Stream) -> None:
        self.payloads = raw["payload"]
        self.headers = raw["header"]
        self._raw = raw
        self._stream = stream
        self._decode = open_format(stream.source).decoder()
        self._cleanings = {name: Cleaning.of(stream, name) for name in stream.columns}
        self._instants = {name for name, column in stream.columns.items() if self._reads_instants(name, column)}
        self._named_in = paths_of(stream)
        self._entered = entered_objects(stream)
        self.envelopes = EnvelopeTexts(self.headers, stream) if has_envelope_paths(stream) else None

    def _reads_instants(self, name: str, column: Column) -> bool:
        """Whether of an instant's text just the instant is read, so that the text is not needed."""
        uses_text = column.from_file_name or column.minus or column.default is not None or column.join
        others = any(other.minus and other.minus.column == name for other in self._stream.columns.values())
        cleaned = self._cleanings[name].rewrites or self._cleanings[name].nulls
        is_first = column.type is ColumnType.timestamp and (column.formats or [""])[0] == _WITH_OFFSET
        return is_first and not (uses_text or others or cleaned)

    def plan(self, template: Template) -> Plan | None:
        """None if the template's rows have parse errors, or may have: a path leads to an object or a list."""
        columns = {name: self._at_paths(template.fields, name) for name in self._stream.columns}
        named = self._named_in(template.fields)
        extras = {} if named is None or self._stream.extra_columns == "drop" else unnamed(template.fields, named)
        has_unexpected = extras and self._stream.extra_columns == "reject"
        if has_unexpected or not all(isinstance(value, Slot) for values in columns.values() for value in values):
            return None
        return Plan(template, columns, extras, named or {})

    def _at_paths(self, fields: Fields, name: str) -> list[Any]:
        """What is at the column's paths; nothing if one of those to be joined is absent."""
        column = self._stream.columns[name]
        paths = column.paths(name)
        present = [value for path in paths if (value := self._at_path(fields, path)) is not None]
        return [] if column.join and len(present) < len(paths) else present

    def _at_path(self, fields: Fields, path: str) -> Any:
        if self.envelopes and path in self.envelopes.slots:
            return self.envelopes.slots[path]
        steps = steps_of(path)
        by_row = next((number for number, step in enumerate(steps) if isinstance(step, Match | Parsed)), None)
        if by_row is None or path in fields:
            return value_at(fields, path, steps)
        # Which item matches, and what a text holds, depends on the row: the plan is void, and rows are read one by one.
        found = value_at(fields, path, steps[:by_row])
        is_void = found is not None if steps[by_row] is Parsed.json else isinstance(found, list)
        return [] if is_void else None

    def read_cut(self, rows: Tokens | CutRows, plan: Plan) -> VectorizedRows | None:
        """Read rows that match the plan's template; None if there are none."""
        return self.read(Values(rows, plan.template.slots), plan)

    def read(self, values: Values, plan: Plan) -> VectorizedRows | None:
        """Make the columns of the values of rows that match the plan's template; None if there are none."""
        if not len(values.rows):
            return None
        if self.envelopes:
            for path, slot in self.envelopes.slots.items():
                values.add(slot, self.envelopes.texts[path])
        self._leave_out_undecodable(values, plan)
        if not len(values.rows):
            return None
        columns = {name: self._column(values, name, slots) for name, slots in plan.columns.items()}
        columns["properties"] = properties_of(values, plan.extras, plan.named) if plan.extras else values.nulls
        signatures = list(self._signatures(values, plan.template.fields))
        return VectorizedRows(values.rows, values.frame(columns), signatures, values.views_with_gaps)

    def _leave_out_undecodable(self, values: Values, plan: Plan) -> None:
        """Leave out rows in which the escapes of a column's text may be no text: the row parser rejects them."""
        for name, slots in plan.columns.items():
            for slot in slots if self._cleanings[name].decoder else []:
                found = self._cleanings[name].undecodable_among(values.text(slot))
                if found is not None:
                    values.leave_out(found.to_numpy())

    def _column(self, values: Values, name: str, slots: list[Slot]) -> pl.Series | pl.Expr:
        """The first of the slots that is not null, or all of them joined by a space; else the column's default."""
        if len(slots) == 1 and name in self._instants and (instants := values.instants(slots[0])) is not None:
            return instants
        column, default = self._first_or_joined(values, name, slots), self._stream.columns[name].default
        if default is None:
            return column
        return column.fill_null(pl.lit(default)) if isinstance(column, pl.Expr) else column.fill_null(default)

    def _first_or_joined(self, values: Values, name: str, slots: list[Slot]) -> pl.Series | pl.Expr:
        if not slots:
            return values.nulls
        cleaning, joined = self._cleanings[name], self._stream.columns[name].join
        texts: list[pl.Series | pl.Expr] = []
        for slot in slots:
            text, may_be_null = _cleaned(values, slot, cleaning)
            texts.append(text)
            if not (may_be_null or joined):
                break
        if len(texts) == 1:
            return texts[0]
        exprs = [pl.lit(text) if isinstance(text, pl.Series) else text for text in texts]
        return pl.concat_str(exprs, separator=" ") if joined else pl.coalesce(exprs)

    def _signatures(self, values: Values, fields: Fields) -> Iterator[RowSignature]:
        combinations = list(values.type_combinations(list(_slots_in_signature(fields, self._entered))))
        examples = with_payloads(self._raw[[first for first, _ in combinations]])
        for (first, rows), *record in zip(combinations, examples["payload"], examples["header"], strict=True):
            yield RowSignature(self._decode(*record), first, rows)


def _cleaned(values: Values, slot: Slot, cleaning: Cleaning) -> tuple[pl.Series | pl.Expr, bool]:
    """The slot's cleaned texts, and whether one of them is null."""
    texts, has_nulls = values.text(slot), values.may_be_null(slot)
    if cleaning.rewrites:
        cleaned = cleaning.series(values.stated(slot))
        return cleaned, cleaned.null_count() > 0
    is_null = cleaning.null_among(texts, may_be_blank=values.may_be_blank(slot))
    if is_null is not None and (slot.null != "" or is_null.sum() > values.nulls_in(slot)):
        return pl.when(~pl.lit(is_null)).then(values.text_or_null(slot)), True
    return (values.text_or_null(slot), True) if has_nulls else (texts, False)


def _slots_in_signature(fields: Fields, entered: Entered) -> Iterator[Slot]:
    """The slots whose types are part of a row's signature."""
    for key, value in fields.items():
        if isinstance(value, Slot):
            yield value
        elif key in entered and isinstance(value, dict):
            yield from _slots_in_signature(value, entered[key])
