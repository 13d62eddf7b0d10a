"""Whose events are, where sessions are cut by person: the user of each anonymous id, and events with their person.

Here: the rule of the view `identities` (``storage.warehouses.postgres.identity_views``) for links of lake files, and
the exchange of ids. Not here: which events show links (``transforms.identity_links``), and of which landing versions
links are taken (``engines.accepted_events``).
"""

from collections.abc import Callable

import polars as pl

from sessions_platform.contracts.column_types import OWN_USER_ID
from sessions_platform.contracts.identity import Identity

# Accepted events in, the same events with their person out.
Resolve = Callable[[pl.LazyFrame], pl.LazyFrame]

PAIRS = {"anonymous_id": pl.String(), "user_id": pl.String(), "last_seen": pl.Datetime("us", "UTC")}
_PERSON = "_person"


def pairs_of(events: pl.LazyFrame, identity: Identity) -> pl.LazyFrame:
    """Which anonymous ids were seen with which users, and when last: ``PAIRS``, each pair once.

    Args:
        events: with event_timestamp and the two columns of `identity`.
        identity: names the columns.
    """
    anonymous, user = pl.col(identity.anonymous_id), pl.col(identity.user_id)
    pairs = events.filter(anonymous != user).group_by(anonymous.alias("anonymous_id"), user.alias("user_id"))
    return pairs.agg(last_seen=pl.max("event_timestamp"))


def people_of(pairs: pl.DataFrame, shared_above: int) -> pl.DataFrame:
    """The person of each anonymous id that has one: anonymous_id and person (String).

    Args:
        pairs: ``PAIRS``, a pair perhaps several times.
        shared_above: an id with more users than this has none.
    """
    once = pairs.group_by("anonymous_id", "user_id").agg(pl.max("last_seen"))
    last = once.sort("anonymous_id", pl.col("last_seen"), "user_id", descending=[False, True, False])
    of_ids = last.group_by("anonymous_id", maintain_order=True).agg(person=pl.first("user_id"), users=pl.len())
    return of_ids.filter(pl.col("users") <= shared_above).drop("users")


def resolving(people: pl.DataFrame) -> Resolve:
    """A function that makes the person the user of each event, and keeps its own in ``OWN_USER_ID``.

    Args:
        people: as ``people_of`` returns them.
    """
    named = people.lazy().select(user_id="anonymous_id", **{_PERSON: "person"})

    def resolve(events: pl.LazyFrame) -> pl.LazyFrame:
        known = events.join(named, on="user_id", how="left", maintain_order="left")
        person = pl.coalesce(_PERSON, "user_id")
        return known.with_columns(person.alias("user_id"), pl.col("user_id").alias(OWN_USER_ID)).drop(_PERSON)

    return resolve


def moved_ids(before: pl.DataFrame, after: pl.DataFrame) -> pl.Series:
    """The anonymous ids whose person differs: as ``people_of`` returns both."""
    both = before.join(after, on="anonymous_id", how="full", coalesce=True)
    return both.filter(pl.col("person").ne_missing(pl.col("person_right")))["anonymous_id"]
