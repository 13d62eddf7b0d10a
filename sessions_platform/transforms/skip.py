"""Leave out rows that a stream skips on purpose: health checks, comment lines, hits marked as excluded.

Here: which parsed rows these are. They are decided before the contract, so that a skipped row may break it. The
rules are described in ``contracts.skip``.
"""

import polars as pl

from sessions_platform.contracts.formats import FORMATS
from sessions_platform.contracts.skip import SkipRule
from sessions_platform.contracts.stream import Stream


def without_skipped(parsed: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The parsed rows that no rule of the stream skips, in the same order.

    Args:
        parsed: the columns of ``transforms.parse``.
        stream: its `skip`, the `comment` of its source, and its format, which may have comments. The rest of a file
            that can't be read is never skipped.
    """
    conditions = [_matches(rule) for rule in stream.skip]
    for comment in {stream.source.comment, FORMATS[stream.source.format].comment} - {None, ""}:
        conditions.append(pl.col("payload").bin.starts_with(str(comment).encode(stream.source.encoding)))
    if not conditions:
        return parsed
    is_skipped = pl.any_horizontal(conditions) & pl.col("corrupt_reason").is_null()
    return parsed.filter(~is_skipped)


def _as_text(payloads: pl.Series) -> pl.Series:
    """The payloads as UTF-8, with U+FFFD for other bytes; polars casts them all at once, or fails."""
    try:
        return payloads.cast(pl.String)
    except pl.exceptions.ComputeError:
        return pl.Series([payload.decode(errors="replace") for payload in payloads], dtype=pl.String)


def _matches(rule: SkipRule) -> pl.Expr:
    """Whether a row keeps all conditions of the rule; false where the value is null."""
    text = pl.col(rule.column) if rule.column else pl.col("payload").map_batches(_as_text, pl.String)
    if rule.missing:
        return text.is_null()
    conditions = [text.is_not_null()]
    if rule.isin is not None:
        conditions.append(text.is_in(rule.isin))
    if rule.not_in is not None:
        conditions.append(~text.is_in(rule.not_in))
    if pattern := rule.pattern or rule.payload:
        conditions.append(text.str.contains(pattern))
    return pl.all_horizontal(conditions).fill_null(value=False)
