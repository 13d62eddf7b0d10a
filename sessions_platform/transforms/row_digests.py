"""Digests of rows that do not depend on their order, by which a warehouse's rows are compared with those that were
delivered to it.

A row's digest is two 64-bit hashes (xxHash3, with two seeds) of a text of its column names and values; those of several
rows are added. So rows may come in any order and in any number of frames, as a warehouse returns them. It shows what
was altered by accident or by somebody else; it is no signature. Not here: the digest itself
(`contracts.row_digest`), and which rows are compared (`pipeline.deliver`).
"""

from collections.abc import Iterable, Mapping

import polars as pl
import polars_hash as plh

from sessions_platform.contracts.row_digest import RowDigest

# The texts of rows, and what they are made of, take several times the memory of the rows.
_ROWS_AT_ONCE = 16 * 1024


def row_digests(frames: Iterable[pl.DataFrame], columns: Mapping[str, pl.DataType], by: str) -> dict[str, RowDigest]:
    """The digests of rows, for each value of a column.

    Args:
        frames: with these columns of these types.
        columns: those that are part of the digest: String, Int64, Float64, Boolean and UTC microseconds.
        by: one of them, of type String and without nulls.

    Returns:
        By value, in no order. Of a value without rows there is none.
    """
    digests: dict[str, RowDigest] = {}
    for rows in (rows for frame in frames for rows in frame.iter_slices(_ROWS_AT_ONCE)):
        for value, *counted in _sums(rows, columns, by).iter_rows():
            digests[value] = digests.get(value, RowDigest()) + RowDigest(*counted)
    return digests


def _sums(frame: pl.DataFrame, columns: Mapping[str, pl.DataType], by: str) -> pl.DataFrame:
    names = pl.lit(",".join(columns))
    text = pl.concat_str([names, *(_text(name, dtype) for name, dtype in columns.items())], separator="|")
    hashed = plh.col("_text").nchash
    hashes = frame.select(pl.col(by), _text=text).with_columns(
        _first=hashed.xxh3_64(seed=0), _second=hashed.xxh3_64(seed=1)
    )
    return hashes.group_by(by).agg(pl.len(), pl.col("_first").sum(), pl.col("_second").sum())


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    """A value as text: the same for the same value, wherever it was stored. A text states its length, so that no two
    rows have the same text."""
    value = pl.col(name)
    if dtype == pl.String:
        text = pl.concat_str(value.str.len_bytes().cast(pl.String), value, separator=":")
    elif dtype == pl.Float64:
        zero = pl.when(value == 0).then(0.0).otherwise(value)  # not every warehouse keeps the sign of zero
        text = zero.reinterpret(dtype=pl.Int64).cast(pl.String)
    else:
        text = value.cast(pl.Int64).cast(pl.String)
    return text.fill_null("null")
