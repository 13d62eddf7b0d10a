"""The view `user_sessions`: what of a session takes its user's whole past, such as whether it is the first one.

It is computed from the table `sessions` whenever it is read, so that it is right after any load, erasure or rebuild; a
session that comes late changes all of its user's later rows, and no load has to write them. All windows are over one
user, so a query of some users reads no others. Not here: the keys of the stream's file (``contracts.user_sessions``).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.user_sessions import UserSessions, view_columns
from sessions_platform.storage.warehouses.postgres.relations import Relation, relations

NAME = "user_sessions"

# Sessions of one moment are ordered by their ids, by bytes, so that every database numbers them alike.
_WINDOW: LiteralString = """
window of_user as (partition by user_id order by session_start, session_id collate "C")"""
_NUMBERED: LiteralString = (
    """
select session_id, user_id, session_start, session_partition, row_number() over of_user as session_number,
    (session_start at time zone {zone})::date - (lag(session_start) over of_user at time zone {zone})::date
        as days_since_last{arrivals}
from {table}"""
    + _WINDOW
)
# An arrival is a session whose touch is not null, a touch one that is not direct. Both are counted along a user's
# sessions, so that the sessions of one count are those up to the next one.
_ARRIVALS: LiteralString = """,
    {touch} as arrival, count({touch}) over of_user as arrivals,
    count({touch}) filter (where {touch} <> all({direct})) over of_user as touches"""
_TOUCHED: LiteralString = (
    """
select *, max(arrival) filter (where arrivals = 1) over of_user as first_touch,
    max(arrival) filter (where arrival <> all({direct})) over of_touch as touch,
    max(session_id) filter (where arrival <> all({direct})) over of_touch as touch_session_id,
    max(session_start) filter (where arrival <> all({direct})) over of_touch as touch_start
from ({numbered}) numbered"""
    + _WINDOW
    + ", of_touch as (partition by user_id, touches)"
)
_PLAIN: LiteralString = """
create view {view} as
select session_id, user_id, session_start, session_partition, session_number, session_number = 1 as is_new,
    days_since_last
from ({numbered}) numbered"""
_WITH_TOUCHES: LiteralString = """
create view {view} as
select session_id, user_id, session_start, session_partition, session_number, session_number = 1 as is_new,
    days_since_last, first_touch,
    case when {is_near} then touch else arrival end as last_non_direct_touch,
    case when {is_near} then touch_session_id end as last_non_direct_session_id
from ({touched}) touched"""


class UserSessionsView:
    """The view of one stream; there is none where its file does not ask for it. Methods work in a transaction."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._view = Identifier(stream.name, NAME)

    @property
    def comment(self) -> str | None:
        """Describes the view, and is compared to find out whether an existing one is up to date; None without one."""
        rule = self.stream.user_sessions
        if rule is None:
            return None
        stated = f" Touches: {rule.model_dump(mode='json', exclude_defaults=True)}." if rule.touch else ""
        return (
            f"Sessions by what their user did before, with days of {self.stream.session.timezone}.{stated} "
            f"Columns: {', '.join(view_columns(rule))}."
        )

    def is_current(self, existing: Mapping[str, Relation]) -> bool:
        """Whether the view is as the stream's file has it, in a schema with these relations."""
        return existing[NAME].comment == self.comment

    def prepare(self, connection: psycopg.Connection) -> None:
        """Make, replace or drop the view, so that it is as the stream's file has it."""
        if self.is_current(relations(connection, self.stream.name)):
            return
        self.drop(connection)
        if self.stream.user_sessions is not None:
            connection.execute(self._statement(self.stream.user_sessions))
            connection.execute(SQL("comment on view {} is {}").format(self._view, self.comment))

    def drop(self, connection: psycopg.Connection) -> None:
        """Drop the view, as where a column that it reads is about to change."""
        connection.execute(SQL("drop view if exists {}").format(self._view))

    def _statement(self, rule: UserSessions) -> Composed:
        table = Identifier(self.stream.name, "sessions")
        touch = Identifier(rule.touch or "")
        direct, zone = Literal(rule.direct), Literal(self.stream.session.timezone)
        arrivals = SQL(_ARRIVALS).format(touch=touch, direct=direct) if rule.touch else SQL("")
        numbered = SQL(_NUMBERED).format(zone=zone, arrivals=arrivals, table=table)
        if not rule.touch:
            return SQL(_PLAIN).format(view=self._view, numbered=numbered)
        touched = SQL(_TOUCHED).format(direct=direct, numbered=numbered)
        return SQL(_WITH_TOUCHES).format(view=self._view, touched=touched, is_near=_is_near(rule.lookback))


def _is_near(lookback: timedelta | None) -> Composed:
    """Whether there is a touch, and it is no longer ago than a session looks back."""
    if lookback is None:
        return SQL("touch is not null").format()
    return SQL("touch_start >= session_start - {}").format(Literal(lookback))
