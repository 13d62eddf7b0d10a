"""Stretches: consecutive rows of one file that are byte for byte alike, and rejected for the same reasons.

One rejected row stands for all of them, so that a million empty lines are one row of the dead-letter queue and not a
million. Here: how long stretches are taken together before they are parsed (``collapsed``), and apart again where they
are accepted (``spread``); and how rejected rows become stretches (``joined``), which is what defines them. Not here:
what a rejected row contains (``transforms.rejections``).
"""

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from sessions_platform.contracts.events import PLACE

# How many raw rows a row of a block stands for. No column of a stream begins with an underscore.
ROWS = "_rows"
# Shorter ones are parsed row by row: the first rows are decoded once more, to count their fields for all of the rows.
SHORTEST_COLLAPSED = 16

NO_BREAKS = pl.DataFrame(schema={"source_uri": pl.String, "position": pl.Int64})

_IS_NEXT = (pl.col("position") == pl.col("position").shift() + pl.col(ROWS).shift()) & (
    pl.col("source_uri") == pl.col("source_uri").shift()
)
_IS_SAME_PAYLOAD = pl.col("payload") == pl.col("payload").shift()


def collapsed(raw: pl.DataFrame, breaks: pl.DataFrame = NO_BREAKS) -> pl.DataFrame:
    """The first row of each long sequence of rows that are parsed alike, and all other rows.

    Args:
        raw: the columns ``RAW_EVENTS``, with the rows of a file in the order of position.
        breaks: the places (source_uri, position) at which a stretch has to begin, each once.

    Returns:
        The rows with the additional column ``ROWS`` (Int64), in the same order. Together they stand for all rows.
    """
    raw = raw.with_columns(pl.lit(1, pl.Int64).alias(ROWS))
    repeats = raw.select(_IS_SAME_PAYLOAD.fill_null(value=False)).to_series()
    if repeats.sum() < SHORTEST_COLLAPSED - 1:
        return raw
    is_alike = [pl.col(name).eq_missing(pl.col(name).shift()) for name in ("header", "corrupt_reason")]
    repeats &= raw.select(_IS_NEXT & pl.all_horizontal(is_alike)).to_series().fill_null(value=False)
    repeats &= ~_are_in(raw, breaks)
    rows = pl.len().over((~repeats).cum_sum().alias("stretch"))
    is_long = rows >= SHORTEST_COLLAPSED
    collapsed_rows = pl.when(is_long).then(rows).otherwise(1).cast(pl.Int64).alias(ROWS)
    return raw.with_columns(collapsed_rows, _is_kept=~repeats | ~is_long).filter("_is_kept").drop("_is_kept")


def spread(events: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """Each event as often as it has `rows`, one position after the other; in the same order."""
    if rows.is_empty() or rows.max() == 1:
        return events
    counts = rows.to_numpy()
    numbers = np.repeat(np.arange(len(counts)), counts)
    offsets = np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
    return events[numbers].with_columns(pl.col("position") + pl.Series(offsets, dtype=pl.Int64))


def joined(rejected: Iterable[pl.DataFrame], breaks: pl.DataFrame = NO_BREAKS) -> Iterator[pl.DataFrame]:
    """Rejected rows as stretches, wherever a frame ends: the same rows in other frames are the same stretches.

    Args:
        rejected: frames with source_uri, position, payload, reasons and ``ROWS``; the rows of a file in the order of
            position.
        breaks: the places (source_uri, position) at which a stretch has to begin, each once.

    Yields:
        The rows in their order. Of each stretch the first row is left, with the sum of all ``ROWS``.
    """
    last: pl.DataFrame | None = None
    for frame in rejected:
        stretches = _joined(frame if last is None else pl.concat([last, frame]), breaks)
        last = stretches.tail(1)
        yield stretches.head(-1)
    if last is not None:
        yield last


def _joined(frame: pl.DataFrame, breaks: pl.DataFrame) -> pl.DataFrame:
    continues = frame.select(_IS_NEXT & _IS_SAME_PAYLOAD).to_series().fill_null(value=False)
    if not continues.any():
        return frame
    reasons = frame.select(pl.col("reasons").list.eval(pl.element().struct.json_encode()).list.join("\n")).to_series()
    continues &= (reasons == reasons.shift()).fill_null(value=False) & ~_are_in(frame, breaks)
    stretch = (~continues).cum_sum().alias("_stretch")
    of_stretch = [pl.col(ROWS).sum() if name == ROWS else pl.col(name).first() for name in frame.columns]
    return frame.group_by(stretch, maintain_order=True).agg(of_stretch).drop("_stretch")


def _are_in(rows: pl.DataFrame, places: pl.DataFrame) -> pl.Series:
    """Whether each row is at one of the places."""
    marked = places.select(*PLACE, _is_in=pl.lit(True))
    return rows.select(*PLACE).join(marked, on=PLACE, how="left", maintain_order="left")["_is_in"].is_not_null()


def places_of(ranges: pl.DataFrame) -> pl.DataFrame:
    """Each place of the ranges, besides all other columns.

    Args:
        ranges: source_uri, position (the first), ``ROWS`` (how many); and others, such as a number of the range.
    """
    every = ranges.with_columns(pl.int_ranges("position", pl.col("position") + pl.col(ROWS)).alias("position"))
    return every.explode("position")
