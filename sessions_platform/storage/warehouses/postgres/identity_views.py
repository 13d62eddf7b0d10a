"""The views `identities` and `sessions_of_people`, which say whose anonymous ids are, as of all current links.

Here: the rule by which an anonymous id gets its user, and the DDL of the views. Since they are views, no state of them
can be out of date. Not here: the table of links, which is in `tables.py` and is loaded by `identity_links.py`.
"""

from collections.abc import Mapping, Sequence

import psycopg
from psycopg.sql import SQL, Identifier

from sessions_platform.contracts.identity import PERSON, Identity
from sessions_platform.storage.warehouses.postgres.relations import Relation, relations

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

# Where sessions are cut by person, their user is the person already.
_CREATE_SESSIONS_OF_PERSONS = SQL("create view {view} as select t.user_id as {person}, {columns} from {sessions} t")

# How the comments of the views begin, by which they are told from what is not ours.
_OF_IDENTITIES = "The user of each anonymous id, of all links"
_OF_SESSIONS = f"Sessions with their person, {PERSON}"


class IdentityViews:
    """The views of one stream. Methods work inside the connection's transaction."""

    def __init__(
        self, stream: str, identity: Identity | None, session_columns: Sequence[str], *, by_person: bool
    ) -> None:
        self._stream, self._identity, self._session_columns = stream, identity, session_columns
        self._by_person = by_person

    def are_current(self, existing: Mapping[str, Relation]) -> bool:
        """Whether the views are there as the stream states them, and none is there where it states no identity."""
        comments = _comments(existing)
        if self._identity is None:
            return not any(_is_ours(comment) for comment in comments)
        return comments == (self._rule, self._shown)

    def prepare(self, connection: psycopg.Connection) -> None:
        """Create the views, create those anew that are of another rule or of other columns, or drop them.

        Views of somebody else may depend on one that stays as it is.
        """
        existing = relations(connection, self._stream)
        if self.are_current(existing):
            return
        of_identities, _ = _comments(existing)
        self.drop_of_sessions(connection)
        if self._identity is None:
            self._drop(connection, IDENTITIES)
            return
        if of_identities != self._rule:
            self._drop(connection, IDENTITIES)
            self._create_identities(connection, self._identity.shared_above)
        self._create_sessions(connection)

    def drop_of_sessions(self, connection: psycopg.Connection) -> None:
        """Remove the view of sessions, where it is: a column that it has can't be changed."""
        self._drop(connection, _SESSIONS)

    def _drop(self, connection: psycopg.Connection, view: str) -> None:
        """Remove a view of ours; what is not ours may have its name where the stream states no identity."""
        of_identities, of_sessions = _comments(relations(connection, self._stream))
        comment = of_identities if view == IDENTITIES else of_sessions
        if self._identity is not None or _is_ours(comment):
            connection.execute(SQL("drop view if exists {}").format(Identifier(self._stream, view)))

    def _create_identities(self, connection: psycopg.Connection, shared_above: int) -> None:
        view, links = Identifier(self._stream, IDENTITIES), Identifier(self._stream, LINKS)
        connection.execute(_CREATE_IDENTITIES.format(view=view, links=links, shared_above=shared_above))
        connection.execute(SQL("comment on view {} is {}").format(view, self._rule))

    def _create_sessions(self, connection: psycopg.Connection) -> None:
        view, identities = Identifier(self._stream, _SESSIONS), Identifier(self._stream, IDENTITIES)
        columns = SQL(", ").join(SQL("t.{}").format(Identifier(name)) for name in self._session_columns)
        joined = {"view": view, "sessions": Identifier(self._stream, "sessions"), "identities": identities}
        create = _CREATE_SESSIONS_OF_PERSONS if self._by_person else _CREATE_SESSIONS
        connection.execute(create.format(**joined, columns=columns, person=Identifier(PERSON)))
        connection.execute(SQL("comment on view {} is {}").format(view, self._shown))

    @property
    def _rule(self) -> str:
        """Describes the view of identities, and is compared to find out whether an existing one is up to date."""
        most = self._identity.shared_above if self._identity else 0
        return f"{_OF_IDENTITIES}; none where it was seen with more than {most}, the one seen last of several."

    @property
    def _shown(self) -> str:
        how = ", by whom they are cut" if self._by_person else ""
        return f"{_OF_SESSIONS}{how}. Columns: {', '.join(self._session_columns)}."


def _comments(existing: Mapping[str, Relation]) -> tuple[str | None, str | None]:
    return existing[IDENTITIES].comment, existing[_SESSIONS].comment


def _is_ours(comment: str | None) -> bool:
    return comment is not None and comment.startswith((_OF_IDENTITIES, _OF_SESSIONS))
