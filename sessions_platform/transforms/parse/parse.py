"""Parse payloads: each row's fields as the stream's columns, as text, and what can't be read.

Here a row only has an error where there is no text to check: its payload is no JSON object or CSV record, a column's
path leads to an object or a list, a text can't be stored (U+0000, lone surrogates), or the file was corrupt. Types,
formats and constraints are checked later, in ``transforms.validate``.

Two parsers do the work. ``row_parser`` reads row by row and defines what parsing means. ``vectorized`` reads the rows
that are plain enough for the scanner (``scanned``) or match a template, many at once and with the same result; it may
leave out any row. So each part of a block is given to ``vectorized`` first, ``row_parser`` reads the rows that are
left, and the results are put into the order of the rows, or into the gaps that the scanner leaves (``gaps``). Rows of a
typed file that have fields instead of a payload are given to ``typed_rows`` first; those that it leaves get payloads.
What is shared by both parsers is in ``row_parser``: paths, unnamed fields, the empty `user_id`.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from sessions_platform.contracts.raw_events import fields_among, with_fields_of
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.typed.payloads import with_payloads
from sessions_platform.transforms.parse.gaps import filled
from sessions_platform.transforms.parse.row_parser import no_parse_errors, parse_rows, repeated_signatures
from sessions_platform.transforms.parse.template_reader import VectorizedRows
from sessions_platform.transforms.parse.tokens import Numbers
from sessions_platform.transforms.parse.typed_rows import read_typed, texts_of
from sessions_platform.transforms.parse.vectorized import read_vectorized
from sessions_platform.transforms.schema_drift import ObservedSchema, RowSignature, observed_schema_of
from sessions_platform.transforms.stretches import ROWS

_Parsed = tuple[pl.DataFrame, list[RowSignature]]

# Rows that are parsed together: enough to share templates, and few enough for their intermediate results to be small.
_PART_ROWS = 131_072


def parse(raw: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Parse raw rows.

    Args:
        raw: the columns ``RAW_EVENTS``, perhaps fields, and ``ROWS`` where rows stand for several; any number of rows.
        stream: its columns, `extra_columns` and source options.

    Returns:
        The rows in the same order, with the raw columns, their fields, ``ROWS``, each of the stream's columns (String),
        properties (String, a JSON object of the fields that no column names, or null), and parse_errors (``REASONS``,
        empty where there are none). A column with an error is null. In a row that is malformed or of a corrupt file all
        columns are. A column of instants is Datetime("us", "UTC") where all rows have fields, and these are what the
        column's text would be read as.
    """
    return parse_and_observe(raw, stream)[0]


def parse_and_observe(raw: pl.DataFrame, stream: Stream) -> tuple[pl.DataFrame, ObservedSchema]:
    """What ``parse`` returns, and the observed schema of the rows."""
    raw = raw if ROWS in raw.columns else raw.with_columns(pl.lit(1, pl.Int64).alias(ROWS))
    parts = raw.iter_slices(_PART_ROWS) if raw.height else [raw]
    parsed = [_parsed(part, stream) for part in parts]
    signatures = [
        _placed(signature, signature.first + number * _PART_ROWS, raw)
        for number, (_, of_part) in enumerate(parsed)
        for signature in of_part
    ]
    signatures += repeated_signatures(raw, stream)
    columns = pl.concat(_of_one_type([columns for columns, _ in parsed], stream))
    return raw.select(*with_fields_of(raw.schema), ROWS).hstack(columns), observed_schema_of(signatures, stream)


def _placed(signature: RowSignature, row: int, raw: pl.DataFrame) -> RowSignature:
    """The signature of rows of a part, placed among all rows of a block."""
    return RowSignature(signature.example, row, signature.rows, raw[row, "source_uri"] or "")


def _parsed(raw: pl.DataFrame, stream: Stream) -> _Parsed:
    """The stream's columns, properties and parse_errors of the rows, and the rows' signatures."""
    if fields_among(raw.columns):
        return _with_rest(raw, list(read_typed(raw, stream)), stream, _parsed_from_payloads)
    return _with_rest(raw, list(read_vectorized(raw, stream)), stream, parse_rows)


def _parsed_from_payloads(raw: pl.DataFrame, stream: Stream) -> _Parsed:
    return _parsed(with_payloads(raw), stream)


def _with_rest(
    raw: pl.DataFrame,
    vectorized: list[VectorizedRows],
    stream: Stream,
    parse_rest: Callable[[pl.DataFrame, Stream], _Parsed],
) -> _Parsed:
    """The rows that were read already, together with all others, in the order of the rows."""
    if not vectorized:
        return parse_rest(raw, stream)
    unread = _unread(raw.height, vectorized)
    frames = [read.columns.hstack([no_parse_errors(read.columns.height)]) for read in vectorized]
    signatures = [signature for read in vectorized for signature in read.signatures]
    if len(unread):
        columns, of_unread = parse_rest(raw[unread], stream)
        frames.append(columns)
        signatures += [RowSignature(each.example, int(unread[each.first]), each.rows) for each in of_unread]
    numbers = [*(read.rows for read in vectorized), unread]
    if (views := vectorized[0].views_with_gaps) is not None:
        return filled(frames[0], pl.concat(frames[1:]), np.concatenate(numbers[1:]), views), signatures
    return _in_row_order(frames, numbers, stream), signatures


def _unread(height: int, vectorized: list[VectorizedRows]) -> Numbers:
    is_unread = np.ones(height, np.bool_)
    for read in vectorized:
        is_unread[read.rows] = False
    return np.flatnonzero(is_unread)


def _of_one_type(frames: list[pl.DataFrame], stream: Stream) -> list[pl.DataFrame]:
    """The frames; with instants as texts, unless they are instants in all of them."""
    if all(frame.schema == frames[0].schema for frame in frames):
        return frames
    return [texts_of(frame, stream.columns) for frame in frames]


def _in_row_order(frames: list[pl.DataFrame], row_numbers: list[Numbers], stream: Stream) -> pl.DataFrame:
    if len(frames) == 1:
        return frames[0]
    frames = _of_one_type(frames, stream)
    numbers = np.concatenate(row_numbers)
    order = np.empty_like(numbers)
    order[numbers] = np.arange(len(numbers))
    return pl.concat(frames, rechunk=True)[order]
