"""Events by user and in the order of time, by the sort of one integer.

A user's code and the microseconds since the first event are packed into 63 bits, because one
integer column sorts several times faster than a text and a time. Where they have no room there, or
two users share a hash, the plain sort of texts is taken.
"""

import polars as pl

from sessions_platform.contracts.events import PROVENANCE
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.validate import time_order

IDENTITY = ["user_id", "event_timestamp", "event_id"]
_PACKED_BITS = 63


def sort_events(events: pl.DataFrame, stream: Stream) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Each event once, users one after the other, each in the order of time; and all further copies.

    An event is (user_id, event_timestamp, event_id). The copy that landed first is kept: by landing
    partition, file and position. In which order the users come is nobody's to rely on.
    """
    packed = _packed(events)
    if packed is None:
        return sort_events_reference(events, stream)
    order = packed.arg_sort()
    key = packed.gather(order)
    same = _repeats(key)
    order, copies = _settled_ties(events, stream, order, key, same | same.shift(-1, fill_value=False))
    ordered = events[order]
    codes = packed.gather(order) // _width(events)
    if (_repeats(codes) & ~_repeats(ordered["user_id"])).any():
        return sort_events_reference(events, stream)  # two users share a hash, and so a code
    return ordered, copies


def sort_events_reference(events: pl.DataFrame, stream: Stream) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same by a sort of the columns as they are."""
    kept, copies = first_copies(events)
    return kept.sort("user_id", *time_order(stream), nulls_last=True), copies


def first_copies(events: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The copy of each event that landed first, and all other copies; by a plain sort."""
    ordered = events.sort(*IDENTITY, *PROVENANCE)
    is_first = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in IDENTITY)
    marked = ordered.with_columns(_first=is_first | (pl.int_range(pl.len()) == 0))
    return marked.filter("_first").drop("_first"), marked.filter(~pl.col("_first")).drop("_first")


def repeated(values: pl.Series) -> pl.Series:
    """The values that stand more than once, each once; sorted, which numbers are quicker than grouped."""
    ordered = values.sort()
    return ordered.filter(_repeats(ordered)).unique()


def user_codes(users: pl.Series) -> pl.Series:
    """A number from 0 for each user, by a sort of hashes. Users of the same hash share one."""
    hashes = hashed(users)
    order = hashes.arg_sort()
    ranks = (~_repeats(hashes.gather(order))).cast(pl.Int64).cum_sum() - 1
    return ranks.clone().scatter(order, ranks)


def hashed(users: pl.Series) -> pl.Series:
    return users.hash()


def _packed(events: pl.DataFrame) -> pl.Series | None:
    """One integer that sorts as user and time do; None where there is no room for both."""
    if events.is_empty():
        return None
    codes, width = user_codes(events["user_id"]), _width(events)
    if (int(codes.max()) + 1) * width >= 1 << _PACKED_BITS:  # pyright: ignore[reportArgumentType]
        return None
    micros = events["event_timestamp"].to_physical()
    return codes * width + (micros - micros.min())


def _width(events: pl.DataFrame) -> int:
    """A power of two above the microseconds from the first event to the last."""
    micros = events["event_timestamp"].to_physical()
    return 1 << int(micros.max() - micros.min()).bit_length()  # pyright: ignore[reportOperatorIssue, reportArgumentType]


def _repeats(values: pl.Series) -> pl.Series:
    """Whether a value is the one before it."""
    return values.eq_missing(values.shift()).scatter(0, False) if len(values) else pl.Series(dtype=pl.Boolean)


def _settled_ties(
    events: pl.DataFrame, stream: Stream, order: pl.Series, key: pl.Series, tied: pl.Series
) -> tuple[pl.Series, pl.DataFrame]:
    """The order without copies, and with simultaneous events of a user in their own; and the copies."""
    if not tied.any():
        return order, events.clear()
    places = tied.arg_true()
    ties = events[order.gather(places)].with_columns(_row=order.gather(places), _key=key.gather(places), _place=places)
    ties = ties.with_columns(_place=pl.col("_place").min().over("_key"))
    kept, copies = first_copies(ties)
    kept = kept.sort("_key", *time_order(stream), nulls_last=True)
    at = kept.select(at=pl.col("_place") + pl.int_range(pl.len()).over("_key"))["at"]
    settled = order.zip_with(~tied, pl.repeat(None, len(order), dtype=order.dtype, eager=True))
    return settled.scatter(at, kept["_row"]).drop_nulls(), copies.drop("_row", "_key", "_place")
