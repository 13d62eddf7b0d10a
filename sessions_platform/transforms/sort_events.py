"""Sort events: by time, or by user and time with duplicates left out.

Here: the order of one user's events, which the whole platform shares (``time_order``), the choice among
duplicates that landed in different partitions (``kept_copies``), and the two sorts that need to be fast.
How sessions are cut in that order is in ``transforms.sessionize``; duplicates within one landing
partition are dropped before, in ``transforms.deduplicate``.

How ``sort_events`` is fast: one column of integers sorts several times faster than a text and a time.
So each user gets a number (its hash's rank, ``by_user_hash``), and that number and the microseconds
since the first event are packed into one integer of 63 bits: ``code * width + micros``, where
``width`` is a power of two above the greatest ``micros``. Its sort is the sort by user and time. Since
the rows are in the order of the numbers already, a merge sort needs a tenth of the time that it needs for
rows in no order. Only rows whose packed integers are equal (one user, one microsecond) are compared by
anything else. There are two cases that packing can't decide, and both fall back to
``sort_events_reference``: user number and time do not fit into 63 bits, or two users share a hash, which
shows as two user ids next to each other under one number.

What is sorted are the numbers of rows. All columns of a part of the rows are gathered when the part is needed, so that
not all rows exist twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from sessions_platform.contracts.events import PLACE, PROVENANCE
from sessions_platform.contracts.stream import Stream

# What makes two accepted rows the same event, across landing partitions.
IDENTITY = ["user_id", "event_timestamp", "event_id"]
# Of a partition that is worked on at once: so few that a part is small beside the partition, and written soon.
PART_ROWS = 256 * 1024
_PACKED_BITS = 63


def time_order(stream: Stream) -> list[str]:
    """The columns that order one user's events: time, the stream's sequence if it has one (nulls last), event_id.

    The sequence `position` is the event's place: its file, and its position in it.
    """
    if stream.orders_by_position:
        return ["event_timestamp", *PLACE, "event_id"]
    return ["event_timestamp", *([stream.sequence] if stream.sequence else []), "event_id"]


def sort_by_time(events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The rows of all users in ``time_order``; rows that are equal in it keep their order."""
    return events[rows_by_time(events, stream, pl.int_range(events.height, dtype=pl.UInt32, eager=True))]


def rows_by_time(events: pl.DataFrame, stream: Stream, rows: pl.Series) -> pl.Series:
    """The numbers of these rows in ``time_order``; rows that are equal in it keep their order.

    They are sorted by the time alone, which is one column of integers; only simultaneous events are sorted again.

    Args:
        events: of all users, in any order.
        stream: the order of simultaneous events.
        rows: numbers of rows (UInt32), ascending.
    """
    time = events["event_timestamp"].gather(rows)
    by_time = time.arg_sort()
    order, ordered = rows.gather(by_time), time.gather(by_time)
    same = (ordered == ordered.shift()).fill_null(value=False)
    tied = same | same.shift(-1, fill_value=False)
    if tied.any():
        tied_rows = order.filter(tied)
        ties = events.select(time_order(stream))[tied_rows].with_columns(_row=tied_rows)
        order = order.scatter(tied.arg_true(), ties.sort(*time_order(stream), "_row", nulls_last=True)["_row"])
    return order


@dataclass(frozen=True)
class SortedEvents:
    """Each event once, users one after the other, each user's events in ``time_order``; and all duplicates.

    Attributes:
        events: what was sorted, in any order.
        rows: the row in `events` of each event that is kept, in order.
        users: the user_id of each, in the same order.
        duplicates: the rows that are not kept, in no defined order.
    """

    events: pl.DataFrame
    rows: pl.Series
    users: pl.Series
    duplicates: pl.DataFrame

    def frame(self, first: int = 0, length: int | None = None) -> pl.DataFrame:
        """The kept events in order, or `length` of them from `first` on."""
        others = self.events.drop("user_id")[self.rows.slice(first, length)]
        return others.with_columns(self.users.slice(first, length)).select(self.events.columns)

    def parts(self, rows: int) -> Iterator[tuple[int, int]]:
        """All kept events as parts of whole users: the first event of each part, and its length.

        A part has `rows` events and the rest of the last user's. Of no events there is one part.
        """
        ends = np.append((~_equals_previous(self.users)).arg_true().to_numpy()[1:], len(self.users))
        first = 0
        while first < len(self.users) or not first:
            end = int(ends[np.searchsorted(ends, min(first + rows, len(self.users)))])
            yield first, end - first
            first = end or 1


def sort_events(events: pl.DataFrame, stream: Stream) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Each event once, users one after the other, each user's events in ``time_order``; and all duplicates.

    Of duplicates (rows of one ``IDENTITY``) the first in ``copy_order`` is kept, or the last. The order of the users
    is not defined.

    Args:
        events: the stream's event columns; IDENTITY and provenance not null; any order.
        stream: its `sequence` orders simultaneous events.

    Returns:
        The kept rows, sorted, and the duplicates, in no defined order; together all rows of `events`.
    """
    ordered = sort_rows(events, stream)
    return ordered.frame(), ordered.duplicates


def sort_rows(events: pl.DataFrame, stream: Stream) -> SortedEvents:
    """The same, but the kept rows are not gathered yet."""
    packed = _sort_packed(events)
    if packed is None:
        return _sorted_by_reference(events, stream)
    order, codes, key = packed
    users = events["user_id"].gather(order)
    if (_equals_previous(codes) & ~_equals_previous(users)).any():
        return _sorted_by_reference(events, stream)  # two users share a hash, and so a code
    same = _equals_previous(key)
    order, duplicates = _with_ties_sorted(events, stream, order, key, same | same.shift(-1, fill_value=False))
    # a row has moved only among those of its user and time
    return SortedEvents(events, order.drop_nulls(), users.filter(order.is_not_null()), duplicates)


def _sorted_by_reference(events: pl.DataFrame, stream: Stream) -> SortedEvents:
    kept, duplicates = sort_events_reference(events, stream)
    return SortedEvents(kept, pl.int_range(kept.height, dtype=pl.UInt32, eager=True), kept["user_id"], duplicates)


def sort_events_reference(events: pl.DataFrame, stream: Stream) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same as ``sort_events``, by sorting the columns as they are; users in the order of their ids."""
    kept, duplicates = kept_copies(events, stream)
    return kept.sort("user_id", *time_order(stream), nulls_last=True), duplicates


def copy_order(stream: Stream) -> list[str]:
    """The columns that order the copies of one event: by landing partition, file and position.

    Of these the stream keeps the first or the last (`duplicates.keep`). Where positions order events, a file may land
    in any partition, and so its partition comes last.
    """
    return [*PLACE, "landing_partition"] if stream.orders_by_position else list(PROVENANCE)


def kept_copies(events: pl.DataFrame, stream: Stream) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The row of each event that is kept, and all other rows; both sorted by ``IDENTITY``, then in ``copy_order``."""
    columns = copy_order(stream)
    is_last = [stream.duplicates.keep == "last"] * len(columns)
    ordered = events.sort(*IDENTITY, *columns, descending=[*[False] * len(IDENTITY), *is_last])
    is_first = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in IDENTITY)
    marked = ordered.with_columns(_first=is_first | (pl.int_range(pl.len()) == 0))
    return marked.filter("_first").drop("_first"), marked.filter(~pl.col("_first")).drop("_first")


def repeated(values: pl.Series) -> pl.Series:
    """The values that occur more than once, each once, ascending. By a sort, which is faster than a group-by."""
    ordered = values.sort()
    return ordered.filter(_equals_previous(ordered)).unique()


def by_user_hash(users: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The rows in the order of their users' hashes, and each one's user number (Int64, from 0, ascending).

    Users of one hash share a number.
    """
    hashes = hashed(users)
    order = hashes.arg_sort()
    return order, (~_equals_previous(hashes.gather(order))).cast(pl.Int64).cum_sum() - 1


def hashed(users: pl.Series) -> pl.Series:
    """A hash of each user id; a function of its own so that tests can make hashes collide."""
    return users.hash()


def _sort_packed(events: pl.DataFrame) -> tuple[pl.Series, pl.Series, pl.Series] | None:
    """The rows in the order of user number and time, with each one's user number, and one integer of both.

    None if they do not fit into 63 bits.
    """
    if events.is_empty():
        return None
    micros = events["event_timestamp"].to_physical()
    least = micros.min()
    # a power of two above the microseconds from the first event to the last
    width = 1 << int(micros.max() - least).bit_length()  # pyright: ignore[reportOperatorIssue, reportArgumentType]
    order, codes = by_user_hash(events["user_id"])
    if (int(codes[-1]) + 1) * width >= 1 << _PACKED_BITS:
        return None
    key = codes * width + (micros.gather(order) - least)
    in_time = np.argsort(key.to_numpy(), kind="stable")
    return order.gather(in_time), codes, key.gather(in_time)


def _equals_previous(values: pl.Series) -> pl.Series:
    """Whether a value equals the one before it (nulls are equal); false for the first."""
    return values.eq_missing(values.shift()).scatter(0, False) if len(values) else pl.Series(dtype=pl.Boolean)


def _with_ties_sorted(
    events: pl.DataFrame, stream: Stream, order: pl.Series, key: pl.Series, tied: pl.Series
) -> tuple[pl.Series, pl.DataFrame]:
    """`order` with a user's simultaneous events in ``time_order``, null in place of duplicates; and the duplicates.

    `key` are the packed integers in that order, `tied` says which of them have an equal neighbour. Rows of a
    tie take the first slots of the tie; the slots that duplicates leave are null.
    """
    if not tied.any():
        return order, events.clear()
    slots = tied.arg_true()
    ties = events[order.gather(slots)].with_columns(_row=order.gather(slots), _key=key.gather(slots), _slot=slots)
    ties = ties.with_columns(_slot=pl.col("_slot").min().over("_key"))
    kept, duplicates = kept_copies(ties, stream)
    kept = kept.sort("_key", *time_order(stream), nulls_last=True)
    at = kept.select(at=pl.col("_slot") + pl.int_range(pl.len()).over("_key"))["at"]
    emptied = order.zip_with(~tied, pl.repeat(None, len(order), dtype=order.dtype, eager=True))
    return emptied.scatter(at, kept["_row"]), duplicates.drop("_row", "_key", "_slot")
