"""Rows put into the gaps of columns, without a move of all others.

Polars would bring all columns together in one chunk and gather them in the order of the rows, which takes as long for a
few rows as for all. Here only the Arrow views of the few are written, 16 bytes for each text, between those of the
others: into the scanner's own memory where a column is still what the scanner wrote, or into a copy. The texts
themselves stay where they are.
"""

from typing import Any

import numpy as np
import polars as pl

from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.transforms.parse.tokens import Flags, Numbers, Views

# The most bytes that are in a view themselves; of longer texts it says in which buffer they are, and where.
_INLINE = 12
_VIEW = np.dtype([("length", np.uint32), ("prefix", np.uint32), ("buffer", np.uint32), ("offset", np.uint32)])


def filled(frame: pl.DataFrame, others: pl.DataFrame, rows: Numbers, own: Views) -> pl.DataFrame:
    """A frame with other rows in place of some. The frame is not to be used any more.

    Args:
        frame: its columns are String, or ``REASONS`` without any reason.
        others: the same columns.
        rows: the number of the row in `frame` that each of the others takes the place of, each once.
        own: memory that may be written to, since only columns of `frame` are in it; one row for each, or some.
    """
    unfilled = dict(zip((each.ctypes.data for each in own), own, strict=True))
    return pl.DataFrame([_filled(column, others[column.name], rows, unfilled) for column in frame])


def _filled(column: pl.Series, others: pl.Series, rows: Numbers, unfilled: dict[int, Views]) -> pl.Series:
    if column.dtype == REASONS:
        return lists_at(others, rows, len(column))
    if column.null_count() == len(column) and others.null_count() == len(others):
        return column
    return _with_texts(column, others, rows, unfilled)


def lists_at(lists: pl.Series, rows: Numbers, height: int) -> pl.Series:
    """A column of lists that are empty but for those in these rows.

    Args:
        lists: of any type, none null.
        rows: where each of them is, each once.
        height: of the column.
    """
    import pyarrow as pa

    order = np.argsort(rows)
    lists = lists.gather(order)
    offsets = np.zeros(height + 1, np.int64)
    offsets[rows[order] + 1] = lists.list.len().to_numpy()
    items = lists.filter(lists.list.len() > 0).explode().rechunk().to_arrow()
    buffers = [None, pa.py_buffer(np.cumsum(offsets, out=offsets))]
    # Not `from_arrays`: pyarrow imports pandas to look at an array of NumPy.
    array = pa.Array.from_buffers(pa.large_list(items.type), height, buffers, children=[items])
    return pl.Series(lists.name, array, dtype=lists.dtype)


def _with_texts(column: pl.Series, others: pl.Series, rows: Numbers, unfilled: dict[int, Views]) -> pl.Series:
    import pyarrow as pa

    present, views, buffers = _parts(column)
    present_others, views_of_others, more = _parts(others)
    # The memory of a column that is there twice is filled once; the other one is copied, and its gaps overwritten.
    own = unfilled.pop(views.ctypes.data, None)
    views = views.copy() if own is None else own.view(_VIEW)
    views_of_others = views_of_others.copy()
    views_of_others["buffer"][views_of_others["length"] > _INLINE] += len(buffers)
    views[rows], present[rows] = views_of_others, present_others
    parts = [np.packbits(present, bitorder="little"), views]
    array = pa.Array.from_buffers(pa.string_view(), len(column), [*map(pa.py_buffer, parts), *buffers, *more])
    return pl.Series(column.name, array)


def _parts(texts: pl.Series) -> tuple[Flags, Views, list[Any]]:
    """Which texts are not null, the views of all, and the buffers that these lead to."""
    arrow = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    bits, views, *buffers = arrow.buffers()
    some = slice(arrow.offset, arrow.offset + len(arrow))
    if bits is None:
        present = np.ones(len(arrow), np.bool_)
    else:
        present = np.unpackbits(np.frombuffer(bits, np.uint8), count=some.stop, bitorder="little")[some].view(np.bool_)
    return present, np.frombuffer(views, _VIEW)[some], buffers
