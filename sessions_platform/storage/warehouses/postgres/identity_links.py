"""Load the links between anonymous ids and users, landing partition by landing partition.

Here: how the links of a partition replace those that it had, in the transaction that publishes its events. Not here:
what a link is (`transforms.identity_links`), and what follows of all links (`identity_views.py`).
"""

from collections.abc import Iterable, Sequence

import polars as pl
import psycopg
from psycopg.sql import SQL, Identifier

from sessions_platform.storage.warehouses.postgres.identity_views import LINKS
from sessions_platform.storage.warehouses.postgres.merge import Loaded, stage
from sessions_platform.storage.warehouses.postgres.row_counts import check_count
from sessions_platform.storage.warehouses.postgres.tables import WarehouseTables

_SUM_UP = """
create temporary table incoming_links on commit drop as
select landing_partition, anonymous_id, user_id, min(first_seen) as first_seen, max(last_seen) as last_seen,
    sum(events)::bigint as events
from staged group by landing_partition, anonymous_id, user_id"""
_DELETE = SQL("""
delete from {links} t where (%(partitions)s::text[] is null or landing_partition = any(%(partitions)s))
    and not exists (
        select from incoming_links n
        where (n.landing_partition, n.anonymous_id, n.user_id, n.first_seen, n.last_seen, n.events)
            = (t.landing_partition, t.anonymous_id, t.user_id, t.first_seen, t.last_seen, t.events))""")
# What is left of a partition after the statement above is as it comes in.
_INSERT = SQL("""
insert into {links} (landing_partition, anonymous_id, user_id, first_seen, last_seen, events)
select landing_partition, anonymous_id, user_id, first_seen, last_seen, events from incoming_links n
where not exists (
    select from {links} t where (t.landing_partition, t.anonymous_id, t.user_id)
        = (n.landing_partition, n.anonymous_id, n.user_id))""")

_DIFFERING = SQL("""
with stored as (
    select landing_partition, anonymous_id, user_id, first_seen, last_seen, events from {links}
    where landing_partition = any(%s)
)
(select landing_partition from (table stored except all table incoming_links) gone)
union (select landing_partition from (table incoming_links except all table stored) missing) order by 1""")
_COUNT = SQL("""
select landing_partition, count(*) from {links}
where %(partitions)s::text[] is null or landing_partition = any(%(partitions)s) group by 1""")


class IdentityLinks:
    """The links of one stream. Methods work inside the connection's transaction."""

    def __init__(self, tables: WarehouseTables) -> None:
        self._tables, self._links = tables, Identifier(tables.stream.name, LINKS)

    def replace(
        self, connection: psycopg.Connection, frames: Iterable[pl.DataFrame], landing_partitions: Sequence[str] | None
    ) -> Loaded:
        """Make the links of landing partitions those of the frames. The stream's lock is held.

        Links that stay as they are are not written. Of a stream that no longer states an identity, links of an earlier
        state are removed.

        Args:
            connection: inside a transaction that holds the stream's lock.
            frames: as of `transforms.identity_links`; a link may be in several, of which the sum is stored.
            landing_partitions: all that the frames have, and others, which become empty; None for all there are.
        """
        if self._tables.stream.identity is None:
            return Loaded(0, 0, self._clear(connection, landing_partitions))
        self._sum_up(connection, frames)
        values = {"partitions": list(landing_partitions) if landing_partitions is not None else None}
        deleted = connection.execute(_DELETE.format(links=self._links), values).rowcount
        inserted = connection.execute(_INSERT.format(links=self._links)).rowcount
        self._check(connection)
        self._tables.index(connection, self._tables.identity_links)
        return Loaded(inserted, 0, deleted)

    def differing(
        self, connection: psycopg.Connection, frames: Iterable[pl.DataFrame], landing_partitions: Sequence[str]
    ) -> list[str]:
        """The landing partitions whose stored links are not those of the frames, sorted; arguments as for `replace`."""
        self._sum_up(connection, frames)
        rows = connection.execute(_DIFFERING.format(links=self._links), [list(landing_partitions)]).fetchall()
        return [partition for (partition,) in rows]

    def _sum_up(self, connection: psycopg.Connection, frames: Iterable[pl.DataFrame]) -> None:
        stage(connection, self._tables.identity_links, frames)
        connection.execute("drop table if exists pg_temp.incoming_links")
        connection.execute(_SUM_UP)
        connection.execute("analyze incoming_links")

    def counts(self, connection: psycopg.Connection, landing_partitions: Sequence[str] | None = None) -> dict[str, int]:
        """How many links landing partitions have that have any, by partition; of all partitions by default.

        Nothing where the stream states no identity.
        """
        if self._tables.stream.identity is None:
            return {}
        values = {"partitions": list(landing_partitions) if landing_partitions is not None else None}
        return dict(connection.execute(_COUNT.format(links=self._links), values).fetchall())

    def _check(self, connection: psycopg.Connection) -> None:
        """Each link that came in is stored; a trigger that is not the platform's may have left some out."""
        query = SQL("""
            select count(*), count(t.user_id) from incoming_links n left join {links} t
            on (t.landing_partition, t.anonymous_id, t.user_id) = (n.landing_partition, n.anonymous_id, n.user_id)""")
        incoming, stored = connection.execute(query.format(links=self._links)).fetchone() or (0, 0)
        check_count(connection, self._tables.identity_links, "stored", incoming, stored)

    def _clear(self, connection: psycopg.Connection, landing_partitions: Sequence[str] | None) -> int:
        if connection.execute("select to_regclass(%s)", [self._links.as_string()]).fetchone() == (None,):
            return 0
        if landing_partitions is None:
            return connection.execute(SQL("delete from {}").format(self._links)).rowcount
        delete = SQL("delete from {} where landing_partition = any(%s)").format(self._links)
        return connection.execute(delete, [list(landing_partitions)]).rowcount
