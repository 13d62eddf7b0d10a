"""The views `identities` and `sessions_of_people`, which say whose anonymous ids are, as of all current links.

Here: the rule by which an anonymous id gets its user, and the DDL of the views. Since they are views, no state of them
can be out of date. Not here: the table of links, which is in `tables.py` and is loaded by `identity_links.py`.
"""

from collections.abc import Sequence

import psycopg
from psycopg.sql import SQL, Identifier

from sessions_platform.contracts.identity import PERSON, Identity

LINKS = "identity_links"
IDENTITIES = "identities"
_SESSIONS = "sessions_of_people"

# The user who was seen last; the smallest id of several at one moment, by its bytes, which no setting of the database
# orders otherwise. Each anonymous id is decided by its own links alone, so that no two users ever become one.
_CREATE_IDENTITIES = SQL("""
create view {view} as
select anonymous_id,
    case when count(*) <= {shared_above} then (array_agg(user_id order by last_seen desc, user_id collate "C"))[1] end
        as user_id,
    count(*) > {shared_above} as is_shared, count(*) as users,
    min(first_seen) as first_seen, max(last_seen) as last_seen, sum(events)::bigint as events
from (
    select anonymous_id, user_id, min(first_seen) as first_seen, max(last_seen) as last_seen, sum(events) as events
    from {links} group by anonymous_id, user_id
) pair
group by anonymous_id""")
# Columns are named: a session may get more of them.
_CREATE_SESSIONS = SQL("""
create view {view} as
select coalesce(own.user_id, t.user_id) as {person}, {columns}
from {sessions} t left join {identities} own on own.anonymous_id = t.user_id""")


class IdentityViews:
    """The views of one stream. Methods work inside the connection's transaction."""

    def __init__(self, stream: str, identity: Identity | None, session_columns: Sequence[str]) -> None:
        self._stream, self._identity, self._session_columns = stream, identity, session_columns

    def are_current(self, connection: psycopg.Connection) -> bool:
        """Whether the views are there as the stream states them; of a stream without identity they may be anything."""
        return self._identity is None or self._comments(connection) == (self._rule, self._shown)

    def create(self, connection: psycopg.Connection) -> None:
        """Create the views, or create them anew where they are of another rule or of other columns."""
        if self._identity is None or self.are_current(connection):
            return
        self.drop(connection)
        links, sessions = Identifier(self._stream, LINKS), Identifier(self._stream, "sessions")
        identities, view = Identifier(self._stream, IDENTITIES), Identifier(self._stream, _SESSIONS)
        rule = {"view": identities, "links": links, "shared_above": self._identity.shared_above}
        columns = SQL(", ").join(SQL("t.{}").format(Identifier(name)) for name in self._session_columns)
        joined = {"view": view, "sessions": sessions, "identities": identities, "columns": columns}
        connection.execute(_CREATE_IDENTITIES.format(**rule))
        connection.execute(_CREATE_SESSIONS.format(**joined, person=Identifier(PERSON)))
        for name, comment in ((identities, self._rule), (view, self._shown)):
            connection.execute(SQL("comment on view {} is {}").format(name, comment))

    def drop(self, connection: psycopg.Connection) -> None:
        """Remove the views, where they are: a column that they have can't be changed."""
        for name in (_SESSIONS, IDENTITIES):
            connection.execute(SQL("drop view if exists {}").format(Identifier(self._stream, name)))

    @property
    def _rule(self) -> str:
        """Describes the view of identities, and is compared to find out whether an existing one is up to date."""
        most = self._identity.shared_above if self._identity else 0
        return (
            f"The user of each anonymous id, of all links; none where it was seen with more than {most}, the one seen "
            "last of several."
        )

    @property
    def _shown(self) -> str:
        return f"Sessions with their person, {PERSON}. Columns: {', '.join(self._session_columns)}."

    def _comments(self, connection: psycopg.Connection) -> tuple[str | None, str | None]:
        query = "select obj_description(to_regclass(%s), 'pg_class'), obj_description(to_regclass(%s), 'pg_class')"
        names = [f"{self._stream}.{view}" for view in (IDENTITIES, _SESSIONS)]
        return connection.execute(query, names).fetchone() or (None, None)
