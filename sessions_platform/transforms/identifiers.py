"""Names made of what they name, the same in every run; SQL, Spark and Python agree on them."""

import hashlib

import polars as pl
import polars_hash as plh

_UNIT_SEPARATOR = "\x1f"
_GROUPS = ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))


def uuid_of(*parts: str) -> str:
    """The UUID made of md5 over the parts, joined by U+001F."""
    return uuids_of(pl.DataFrame({str(place): [part] for place, part in enumerate(parts)})).item()


def uuids_of(parts: pl.DataFrame) -> pl.Series:
    """The UUID of each row, whose columns are the parts; all of them text and none null."""
    joined = parts.select(joined=pl.concat_str(pl.all(), separator=_UNIT_SEPARATOR))
    digits = joined.select(digits=plh.col("joined").nchash.md5())
    groups = (pl.col("digits").str.slice(offset, length) for offset, length in _GROUPS)
    return digits.select(pl.concat_str(groups, separator="-")).to_series()


def md5_of(texts: pl.Series) -> pl.Series:
    """The md5 of each row's bytes, as hexadecimal digits. The bytes need not be text."""
    digests = [hashlib.md5(text, usedforsecurity=False).hexdigest() for text in texts.to_list()]
    return pl.Series(digests, dtype=pl.String)


def sha256_of(texts: pl.Series) -> pl.Series:
    """The SHA-256 of each row's bytes, as hexadecimal digits."""
    return pl.Series([hashlib.sha256(text).hexdigest() for text in texts.to_list()], dtype=pl.String)
