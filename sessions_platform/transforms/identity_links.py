"""Which anonymous ids events show with which users: the links of one frame of accepted events.

Here: what a link is. Not here: the links of a whole landing partition, which the warehouse sums up as it loads them,
and the user that an anonymous id gets of all links (``storage.warehouses.postgres``).
"""

import polars as pl

from sessions_platform.contracts.identity import Identity


def identity_links(events: pl.DataFrame, identity: Identity) -> pl.DataFrame:
    """The pairs of an anonymous id and a user id that these events have.

    An event without one of the two shows nothing. Nor does one whose two ids are the same: a column of users that
    falls back on the anonymous id has that of an event before the log in.

    Args:
        events: with landing_partition, event_timestamp and the two columns of `identity`.
        identity: names the columns.

    Returns:
        A row for each landing_partition, anonymous_id and user_id, in any order: first_seen, last_seen, and events,
        which is their number.
    """
    anonymous, user = pl.col(identity.anonymous_id), pl.col(identity.user_id)
    pair = ["landing_partition", anonymous.alias("anonymous_id"), user.alias("user_id")]
    return (
        events.filter(anonymous != user)  # null where one is null
        .group_by(pair)
        .agg(
            first_seen=pl.min("event_timestamp"),
            last_seen=pl.max("event_timestamp"),
            events=pl.len().cast(pl.Int64),
        )
    )
