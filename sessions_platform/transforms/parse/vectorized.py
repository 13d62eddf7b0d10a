"""Parse many rows at once, without a Python object for any value: the fast path of ``parse``.

Flat JSON and CSV are given to the compiled scanner first (``scanned``), where it is there. What it leaves is read by
templates.
Rows of one source mostly have the same structure. So a template is made of one row (``templates``), and the rows that
match it are found by comparing the tokens between their quotes or separators (``tokens``); a column is then the
series of one slot's texts (``scalars``, ``template_reader``). A template costs about as much as reading ``MIN_ROWS``
rows one by one.

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
from dataclasses import replace

import msgspec
import numpy as np
import polars as pl

from sessions_platform.contracts.csv_options import WHITESPACE
from sessions_platform.contracts.formats import FORMATS, FormatOptions, Layout
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.csv_fields import header_names, names_of_fields
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.transforms.parse.csv_rows import STAND_IN, by_header, in_single_blanks, unquoted, valid_in_json
from sessions_platform.transforms.parse.cut_lines import CUTTERS, Cutter
from sessions_platform.transforms.parse.scanned import scanned_objects, scanned_records
from sessions_platform.transforms.parse.template_reader import Plan, TemplateReader, VectorizedRows
from sessions_platform.transforms.parse.templates import QUOTE, FieldsTemplate, JsonTemplate
from sessions_platform.transforms.parse.tokens import CutRows, Rows, Tokens, readable, tokenize

MIN_ROWS = 128
_MOST_TEMPLATES = 64
# Templates for rows with equally many quotes. These are mostly of one structure; if not, this path does not pay.
_TRIES_PER_GROUP = 8

_BACKSLASH = "\\"
# Characters that a JSON string does not contain as they are.
_ESCAPED_IN_JSON = r'["\\\x00-\x1f]'


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
    if raw.height < MIN_ROWS or not is_utf8 or entry.layout is None or stream.source.has_nested_text:
        return
    if cutter := CUTTERS.get(entry.layout):
        yield from _lines(raw, stream, cutter)
    else:
        yield from {Layout.json_object: _json, Layout.delimited: _csv}[entry.layout](raw, stream)


# JSON ----------------------------------------------------------------------------------------------------


def _json(raw: pl.DataFrame, stream: Stream) -> Iterator[VectorizedRows]:
    reader = TemplateReader(raw, stream)
    scanned = scanned_objects(raw, stream, reader)
    if scanned:
        yield scanned
    yield from _by_templates(_rest(raw, scanned), stream, reader)


def _rest(raw: pl.DataFrame, read: VectorizedRows | None) -> Rows:
    """The readable rows that were not read yet."""
    if read is None:
        return readable(raw)
    unread = np.delete(np.arange(raw.height), read.rows)
    rows = readable(raw[unread])
    return replace(rows, numbers=unread[rows.numbers])


def _by_templates(eligible: Rows, stream: Stream, reader: TemplateReader) -> Iterator[VectorizedRows]:
    if stream.source.event_keys:  # a record without a header is in no array, and rejected
        eligible = eligible.only(reader.headers.is_not_null().gather(eligible.numbers))
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


def _by_template_of_first(rows: Tokens, reader: TemplateReader) -> VectorizedRows | None:
    try:
        template = JsonTemplate(reader.payloads[int(rows.rows[0])].decode())
    except (ValueError, msgspec.DecodeError):
        return None
    plan = reader.plan(template)
    return plan and reader.read_cut(template.matching(rows), plan)


# CSV -----------------------------------------------------------------------------------------------------


def _csv(raw: pl.DataFrame, stream: Stream) -> Iterator[VectorizedRows]:
    options = stream.source
    separator, quote = options.separator, options.quote
    reader = TemplateReader(raw, stream)
    scanned = scanned_records(raw, stream, reader)
    if scanned:
        yield scanned
    eligible = _rest(raw, scanned).without(STAND_IN)
    if options.escape is not None:
        eligible = eligible.without(options.escape)
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


def _records(rows: Rows, reader: TemplateReader, separator: str, options: FormatOptions) -> Iterator[VectorizedRows]:
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
            if read := reader.read_cut(replace(group, texts=texts), plan_of_group):
                yield read


def _other_plan(reader: TemplateReader, names: list[str], rows: Tokens, options: FormatOptions) -> Plan | None:
    """The plan for records of more or fewer fields than are named; None if they are refused, or few."""
    if len(rows) < MIN_ROWS:
        return None
    try:
        return reader.plan(FieldsTemplate(names_of_fields(names, rows.count, options)))
    except MalformedError:
        return None


# Lines that are cut by other means -----------------------------------------------------------------------


def _lines(raw: pl.DataFrame, stream: Stream, cutter: Cutter) -> Iterator[VectorizedRows]:
    reader = TemplateReader(raw, stream)
    eligible = readable(raw).without("\0")
    eligible = eligible.only(eligible.texts != "")
    for rows, template in cutter(eligible, reader.headers, stream.source) if len(eligible) else ():
        plan = reader.plan(template)
        read = plan and reader.read_cut(_with_valid_extras(rows, plan), plan)
        if read:
            yield read


def _with_valid_extras(rows: CutRows | Tokens, plan: Plan) -> CutRows | Tokens:
    """The rows whose texts that become `properties` are valid JSON strings as they are."""
    for slot in plan.extras.values():
        rows = rows.only(~rows[slot.token].str.contains(_ESCAPED_IN_JSON).to_numpy())
    return rows
