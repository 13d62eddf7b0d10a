"""Identifiers and digests that depend on nothing but their input, so that a rerun gives the same ones.

Here: how they are computed. Of what an identifier is made is decided where it is made: event ids in
``transforms.deduplicate``, session ids in ``transforms.sessionize``, rejection ids in ``transforms.rejections``. The
UUIDs can be computed in SQL too: ``md5(concat_ws(U&'\\001F', ...))::uuid`` in PostgreSQL.
"""

import hashlib

import polars as pl
import polars_hash as plh

from sessions_platform.scanner.library import MOST_UUIDS, scanner

# Of fewer rows the scanner's library is not asked for: to load it costs more.
MIN_ROWS = 1024
_UNIT_SEPARATOR = "\x1f"
_GROUPS = ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))


def uuids_of(parts: pl.DataFrame) -> pl.Series:
    """The UUID of each row: the md5 over its columns, joined by U+001F.

    Args:
        parts: one or more columns of type String, without nulls.

    Returns:
        UUIDs in lower case with hyphens (String), in the order of the rows.
    """
    library = scanner() if MIN_ROWS <= parts.height <= MOST_UUIDS else None
    if library is None or any(column.has_nulls() for column in parts):
        return uuids_by_polars(parts)
    return library.uuids(parts.get_columns(), _UNIT_SEPARATOR)


def uuids_by_polars(parts: pl.DataFrame) -> pl.Series:
    """The same without the scanner's library, in eight times the time. A row with a null has none."""
    joined = parts.select(joined=pl.concat_str(pl.all(), separator=_UNIT_SEPARATOR))
    digits = joined.select(digits=plh.col("joined").nchash.md5())
    groups = (pl.col("digits").str.slice(offset, length) for offset, length in _GROUPS)
    return digits.select(pl.concat_str(groups, separator="-")).to_series()


def md5_of(values: pl.Series) -> pl.Series:
    """The md5 of each value (Binary, not null), as 32 hexadecimal digits (String), in the same order."""
    digests = [hashlib.md5(value, usedforsecurity=False).hexdigest() for value in values.to_list()]
    return pl.Series(digests, dtype=pl.String)


def sha256_of(values: pl.Series) -> pl.Series:
    """The SHA-256 of each value (Binary, not null), as 64 hexadecimal digits (String), in the same order."""
    return pl.Series([hashlib.sha256(value).hexdigest() for value in values.to_list()], dtype=pl.String)
