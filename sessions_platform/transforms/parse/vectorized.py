"""Parse many rows at once, without a Python object for any value: the fast path of ``parse``.

Rows of one source mostly have the same structure. So a template is made of one row (``templates``), and the rows that
match it are found by comparing the tokens between their quotes or separators (``tokens``); a column is then the
series of one slot's texts (``scalars``). A template costs about as much as reading ``MIN_ROWS`` rows one by one.

A row is eligible if its format has a ``Layout``, its payload is UTF-8, and, by layout:

- JSON: it has no backslash (so no escapes, and each quote begins or ends a string) and no control character (not
  allowed in JSON strings), at most ``LONGEST_ROW`` bytes, and at least ``MIN_ROWS`` rows of its block have as many
  quotes.
- CSV: it is not empty, has no escape and no U+0000 (which is used as the stand-in below), and as many fields as its
  header names, or as many other rows, where that is allowed. If the stream has a quote character, there is no CR
  either, and each pair of quotes encloses a whole field, without quotes or newlines in it. The quotes are then removed,
  and separators inside them replaced by a stand-in until the record is cut. Where runs of blanks separate, there are no
  quotes. If fields become `properties`, texts have to be valid JSON strings as they are.
- Lines of logs (``cut_lines``): it is not empty and has no U+0000; the pattern matches it, or it has no quote and as
  many fields as its directive names. Texts that become `properties` have to be valid JSON strings as they are.

Of the eligible rows those are read that match a template under which no column has a parse error: each path leads to
a value or to nothing, and no field is to be rejected as unexpected. Every other row is left to ``row_parser``, which
defines what parsing means. So this path may always read fewer rows, but what it reads has to be equal, to the last
character and to the signatures from which the observed schema is counted; property tests compare the two. It rests on
three facts: a matching row is valid and has the template's fields (``templates``); a string without backslashes is
its own text; a recognized scalar is spelled as the row parser would write it (``scalars``).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import polars as pl

from sessions_platform.contracts.csv_options import WHITESPACE
from sessions_platform.contracts.field_paths import Match, Parsed, steps_of
from sessions_platform.contracts.formats import FORMATS, FormatOptions, Layout
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.csv_fields import header_names, names_of_fields
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.registry import open_format
from sessions_platform.transforms.parse.cleaning import Cleaning
from sessions_platform.transforms.parse.csv_rows import STAND_IN, by_header, in_single_blanks, unquoted, valid_in_json
from sessions_platform.transforms.parse.cut_lines import CUTTERS, Cutter
from sessions_platform.transforms.parse.envelopes import EnvelopeTexts
from sessions_platform.transforms.parse.paths import value_at
from sessions_platform.transforms.parse.properties import properties_of
from sessions_platform.transforms.parse.row_parser import Tree, has_envelope_paths, paths_of, unnamed
from sessions_platform.transforms.parse.scalars import Values
from sessions_platform.transforms.parse.templates import QUOTE, Fields, FieldsTemplate, JsonTemplate, Slot, Template
from sessions_platform.transforms.parse.tokens import CutRows, Numbers, Rows, Tokens, readable, tokenize
from sessions_platform.transforms.schema_drift import Entered, RowSignature, entered_objects

MIN_ROWS = 128
_MOST_TEMPLATES = 64
# Templates for rows with equally many quotes. These are mostly of one structure; if not, this path does not pay.
_TRIES_PER_GROUP = 8

_BACKSLASH = "\\"
# Characters that a JSON string does not contain as they are.
_ESCAPED_IN_JSON = r'["\\\x00-\x1f]'


@dataclass(frozen=True)
class VectorizedRows:
    """Rows without parse errors: their row numbers, and in this order `columns` (the stream's columns and properties).

    `signatures` are all of theirs; their `first` is a row number.
    """

    rows: Numbers
    columns: pl.DataFrame
    signatures: list[RowSignature]


def read_vectorized(raw: pl.DataFrame, stream: Stream) -> Iterator[VectorizedRows]:
    """Read the rows of a block that match a template.

    Args:
        raw: payload (Binary), header (Binary), corrupt_reason (String); row numbers count from 0.
        stream: its columns, `extra_columns` and source options.

    Yields:
        Groups of rows, one for each template. No row is in two of them, and some rows are in none.
    """
    entry = FORMATS[stream.source.format]
    is_utf8 = stream.source.encoding == "utf-8" or not entry.is_text
    if raw.height < MIN_ROWS or not is_utf8 or entry.layout is None or stream.source.parse:
        return
    if cutter := CUTTERS.get(entry.layout):
        yield from _lines(raw, stream, cutter)
    else:
        yield from {Layout.json_object: _json, Layout.delimited: _csv}[entry.layout](raw, stream)


# JSON ----------------------------------------------------------------------------------------------------


def _json(raw: pl.DataFrame, stream: Stream) -> Iterator[VectorizedRows]:
    reader = _TemplateReader(raw, stream)
    eligible = readable(raw)
    if stream.source.event_keys:  # a record without a header is in no array, and rejected
        eligible = eligible.only(raw["header"].is_not_null().gather(eligible.numbers))
    if reader.envelopes:
        eligible = eligible.only(reader.envelopes.readable.gather(eligible.numbers))
    eligible = eligible.without(_BACKSLASH).without_controls()
    templates = 0
    for group in tokenize(eligible, QUOTE):
        if len(group) < MIN_ROWS:
            break  # later groups are smaller
        unread = group
        for _ in range(_TRIES_PER_GROUP):
            if len(unread) < MIN_ROWS or templates == _MOST_TEMPLATES:
                break
            templates += 1
            read = _by_template_of_first(unread, reader)
            if read is not None:
                yield read
            unread = unread.without(unread.rows[:1] if read is None else read.rows)


def _by_template_of_first(rows: Tokens, reader: "_TemplateReader") -> VectorizedRows | None:
    try:
        template = JsonTemplate(reader.payloads[int(rows.rows[0])].decode())
    except (ValueError, msgspec.DecodeError):
        return None
    plan = reader.plan(template)
    return plan and reader.read(template.matching(rows), plan)


# CSV -----------------------------------------------------------------------------------------------------


def _csv(raw: pl.DataFrame, stream: Stream) -> Iterator[VectorizedRows]:
    options = stream.source
    separator, quote = options.separator, options.quote
    eligible = readable(raw).without(STAND_IN)
    if options.escape is not None:
        eligible = eligible.without(options.escape)
    reader = _TemplateReader(raw, stream)
    if separator == WHITESPACE:
        yield from _records(in_single_blanks(eligible, quote), reader, " ", options)
        return
    eligible = eligible.only(eligible.texts != "")
    if quote is None:
        yield from _records(eligible, reader, separator, options)
        return
    eligible = eligible.without("\r")
    if options.line_end == "auto":  # a line feed is then not part of every line end
        eligible = eligible.without("\n")
    has_quotes = eligible.texts.str.contains(quote, literal=True)
    yield from _records(eligible.only(~has_quotes), reader, separator, options)
    if has_quotes.any() and quote != separator:
        for rows in unquoted(eligible.only(has_quotes).without("\n"), quote, separator, MIN_ROWS):
            yield from _records(rows, reader, separator, options)


def _records(rows: Rows, reader: "_TemplateReader", separator: str, options: FormatOptions) -> Iterator[VectorizedRows]:
    """Read records without quotes. Stand-ins become separators again after the records are cut."""
    names_under = header_names(options)
    for header, under in by_header(reader.headers, rows):
        try:
            names = names_under(header)
            plan = reader.plan(FieldsTemplate(names))
        except MalformedError:
            continue
        if plan is None:
            continue
        has_extras = plan.extras or options.extra_fields == "keep"
        for group in tokenize(valid_in_json(under, separator) if has_extras else under, separator):
            plan_of_group = plan if group.count == len(names) else _other_plan(reader, names, group, options)
            if plan_of_group is None:
                continue
            texts = group.texts
            if rows.has_stand_ins:
                texts = texts.str.replace_all(STAND_IN, separator, literal=True)
            if read := reader.read(replace(group, texts=texts), plan_of_group):
                yield read


def _other_plan(reader: "_TemplateReader", names: list[str], rows: Tokens, options: FormatOptions) -> "_Plan | None":
    """The plan for records of more or fewer fields than are named; None if they are refused, or few."""
    if len(rows) < MIN_ROWS:
        return None
    try:
        return reader.plan(FieldsTemplate(names_of_fields(names, rows.count, options)))
    except MalformedError:
        return None


# Lines that are cut by other means -----------------------------------------------------------------------


def _lines(raw: pl.DataFrame, stream: Stream, cutter: Cutter) -> Iterator[VectorizedRows]:
    reader = _TemplateReader(raw, stream)
    eligible = readable(raw).without("\0")
    eligible = eligible.only(eligible.texts != "")
    for rows, template in cutter(eligible, reader.headers, stream.source) if len(eligible) else ():
        plan = reader.plan(template)
        read = plan and reader.read(_with_valid_extras(rows, plan), plan)
        if read:
            yield read


def _with_valid_extras(rows: CutRows | Tokens, plan: "_Plan") -> CutRows | Tokens:
    """The rows whose texts that become `properties` are valid JSON strings as they are."""
    for slot in plan.extras.values():
        rows = rows.only(~rows[slot.token].str.contains(_ESCAPED_IN_JSON).to_numpy())
    return rows


# All layouts --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """What the columns of a template's rows are made of.

    `columns` are the slots at each column's paths, in their order; `extras` the fields that no path names, and
    `named` the tree of the paths that name the others.
    """

    template: Template
    columns: dict[str, list[Slot]]
    extras: Fields
    named: Tree


class _TemplateReader:
    """Makes the stream's columns of rows that match a template."""

    def __init__(self, raw: pl.DataFrame, stream: Stream) -> None:
        self.payloads = raw["payload"]
        self.headers = raw["header"]
        self._stream = stream
        self._decode = open_format(stream.source).decoder()
        self._cleanings = {name: Cleaning.of(stream, name) for name in stream.columns}
        self._named_in = paths_of(stream)
        self._entered = entered_objects(stream)
        self.envelopes = EnvelopeTexts(self.headers, stream) if has_envelope_paths(stream) else None

    def plan(self, template: Template) -> _Plan | None:
        """None if the template's rows have parse errors, or may have: a path leads to an object or a list."""
        columns = {name: self._at_paths(template.fields, name) for name in self._stream.columns}
        named = self._named_in(template.fields)
        extras = {} if named is None or self._stream.extra_columns == "drop" else unnamed(template.fields, named)
        has_unexpected = extras and self._stream.extra_columns == "reject"
        if has_unexpected or not all(isinstance(value, Slot) for values in columns.values() for value in values):
            return None
        return _Plan(template, columns, extras, named or {})

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

    def read(self, rows: Tokens | CutRows, plan: _Plan) -> VectorizedRows | None:
        """Read rows that match the plan's template; None if there are none."""
        values = Values(rows, plan.template.slots)
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
        return VectorizedRows(values.rows, values.frame(columns), signatures)

    def _leave_out_undecodable(self, values: Values, plan: _Plan) -> None:
        """Leave out rows in which the escapes of a column's text may be no text: the row parser rejects them."""
        for name, slots in plan.columns.items():
            for slot in slots if self._cleanings[name].decoder else []:
                found = self._cleanings[name].undecodable_among(values.text(slot))
                if found is not None:
                    values.leave_out(found.to_numpy())

    def _column(self, values: Values, name: str, slots: list[Slot]) -> pl.Series | pl.Expr:
        """The first of the slots that is not null, or all of them joined by a space."""
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
        for first, rows in values.type_combinations(list(_slots_in_signature(fields, self._entered))):
            example = self._decode(self.payloads[first], self.headers[first])
            yield RowSignature(example, first, rows)


def _cleaned(values: Values, slot: Slot, cleaning: Cleaning) -> tuple[pl.Series | pl.Expr, bool]:
    """The slot's cleaned texts, and whether one of them is null."""
    texts, has_nulls = values.text(slot), values.may_be_null(slot)
    if cleaning.rewrites:
        stated = pl.select(pl.when(pl.lit(texts) != slot.null).then(pl.lit(texts))).to_series() if has_nulls else texts
        cleaned = cleaning.series(stated)
        return cleaned, cleaned.null_count() > 0
    is_null = cleaning.null_among(texts, may_be_blank=slot.null != "null")
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
