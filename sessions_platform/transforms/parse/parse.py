"""Read each payload's fields into the stream's columns, as text, and say what can't be read.

Types, formats and constraints are judged later. Here a row only fails where there is
no text to judge: its payload is not one JSON object or CSV record, a column finds an
object where it wants a value, or a text can't be stored (U+0000, lone surrogates).

What parsing means is said by `parse_plain`. Rows that can be proved to be simple are read in bulk.
"""

import numpy as np
import polars as pl

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.parse.row_parser import no_parse_errors, parse_rows
from sessions_platform.transforms.parse.tokens import Numbers
from sessions_platform.transforms.parse.vectorized import VectorizedRows, read_vectorized
from sessions_platform.transforms.schema_drift import ObservedSchema, RowSignature, observed_schema_of

# Rows that are read together: more pay better for a template, and a block is mostly one part.
_PART = 131_072


def parse(raw: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The rows of `raw`, with each column as text, with `properties` and with `faults`.

    A column at fault is null, and so are all columns of a row that is malformed or
    unreadable: that they are null is then no second fault.
    """
    return parse_and_observe(raw, stream)[0]


def parse_and_observe(raw: pl.DataFrame, stream: Stream) -> tuple[pl.DataFrame, ObservedSchema]:
    """The same, and which fields the rows have."""
    parts = raw.iter_slices(_PART) if raw.height else [raw]
    parsed = [_parsed(part, stream) for part in parts]
    kinds = [
        RowSignature(kind.example, kind.first + number * _PART, kind.rows)
        for number, (_, found) in enumerate(parsed)
        for kind in found
    ]
    columns = pl.concat([columns for columns, _ in parsed])
    return raw.select(list(RAW_EVENTS)).hstack(columns), observed_schema_of(kinds, stream)


def _parsed(raw: pl.DataFrame, stream: Stream) -> tuple[pl.DataFrame, list[RowSignature]]:
    """The stream's columns with `properties` and `faults`, and the kinds of the rows."""
    in_bulk = list(read_vectorized(raw, stream))
    if not in_bulk:
        return parse_rows(raw, stream)
    others = _others(raw.height, in_bulk)
    frames = [read.columns.hstack([no_parse_errors(len(read.rows))]) for read in in_bulk]
    kinds = [kind for read in in_bulk for kind in read.kinds]
    if len(others):
        columns, found = parse_rows(raw[others], stream)
        frames.append(columns)
        kinds += [RowSignature(kind.example, int(others[kind.first]), kind.rows) for kind in found]
    return _in_order(frames, [*(read.rows for read in in_bulk), others]), kinds


def _others(height: int, in_bulk: list[VectorizedRows]) -> Numbers:
    unread = np.ones(height, np.bool_)
    for read in in_bulk:
        unread[read.rows] = False
    return np.flatnonzero(unread)


def _in_order(frames: list[pl.DataFrame], rows: list[Numbers]) -> pl.DataFrame:
    if len(frames) == 1:
        return frames[0]
    places = np.concatenate(rows)
    order = np.empty_like(places)
    order[places] = np.arange(len(places))
    return pl.concat(frames, rechunk=True)[order]
