"""Store the scores of sessions, session partition by session partition, and read what they are computed of.

Here: how the scores of a partition replace those that it had, in one transaction with the record of which loaded state
was scored by which models. Not here: scores (`transforms.scorecard`), and which partitions are due
(`pipeline.scores`). Scores of sessions that change or vanish leave in the transaction of that change (`loader.py`), so
that no score is of an earlier state of its session.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
import psycopg
from psycopg.sql import SQL, Composed, Identifier

from sessions_platform.contracts.column_types import SESSION_TYPES, StoredType
from sessions_platform.contracts.polars_types import dtypes
from sessions_platform.contracts.scores import LABEL
from sessions_platform.storage.warehouses.postgres.copy_encoder import CopyEncoder, copy_rows
from sessions_platform.storage.warehouses.postgres.row_counts import check_count
from sessions_platform.storage.warehouses.postgres.tables import SCORES, WarehouseTables

_AT_ONCE = 64 * 1024
_FORGET = SQL("delete from {scores} where session_id in (select key from pg_temp.difference)")
_SESSIONS = SQL("""
select session_id, session_partition, {features} from {sessions}
where session_partition = any(%s) order by session_partition, session_id collate "C\"""")
_FORGET_UNLOADED = SQL("delete from {table} where session_partition <> all(%s)")
_OF_THE_TIME = "(%(since)s::timestamptz is null or session_start >= %(since)s) and session_start < %(until)s"
_COUNT = SQL(f"select count(*) from {{sessions}} where {_OF_THE_TIME}")
# Without names of its own outside of the users, since each may be a column of sessions.
_LABELLED = SQL(f"""
select user_id, {{has_it}}, {{columns}} from {{sessions}}
where {_OF_THE_TIME} and (%(most)s >= %(count)s or user_id in (
  select user_id from (
    select user_id, sum(count(*)) over (order by md5(user_id) collate "C", user_id collate "C") as total
    from {{sessions}} where {_OF_THE_TIME} group by user_id
  ) as users where total <= %(most)s))
order by session_start, session_id collate "C\"""")


@dataclass(frozen=True)
class ScoredPartition:
    """Which loaded state of a session partition was scored, by which models: `purchase=9f86… bot=1b4f…`."""

    session_partition: str
    version: int
    models: str


class SessionScores:
    """The scores of one stream. Methods work inside the connection's transaction."""

    def __init__(self, tables: WarehouseTables) -> None:
        self._tables = tables
        self._scores = Identifier(tables.stream.name, SCORES)

    def scored(self, connection: psycopg.Connection) -> list[ScoredPartition]:
        """What was scored, by session partition."""
        select = SQL("select session_partition, version, models from {} order by 1")
        rows = connection.execute(select.format(self._tables.scored_partitions.identifier)).fetchall()
        return [ScoredPartition(*row) for row in rows]

    def sessions(
        self, connection: psycopg.Connection, session_partitions: Sequence[str], features: Mapping[str, StoredType]
    ) -> Iterator[pl.DataFrame]:
        """The loaded sessions of partitions: session_id, session_partition and the features, in frames."""
        statement = _SESSIONS.format(features=_names(features), sessions=self._tables.sessions.identifier)
        schema = {"session_id": pl.String(), "session_partition": pl.String(), **dtypes(features)}
        yield from _frames(connection, statement, [list(session_partitions)], schema)

    def labelled(
        self,
        connection: psycopg.Connection,
        label: str,
        features: Mapping[str, StoredType],
        since: datetime | None,
        until: datetime,
        most: int,
    ) -> tuple[pl.DataFrame, int]:
        """Loaded sessions in the order of their starts, and how many there are of that time.

        These have user_id, `LABEL` (not null), event_count and the features. Where there are more than `most`, they are
        those of some users: of as many as fit, in the order of the MD5 of their ids, with all of their sessions.

        Args:
            connection: inside a transaction.
            label: a session column, a count or a boolean: whether it is more than none, or true.
            features: columns with their types.
            since, until: when sessions started, the end not included.
            most: how many may be in memory.
        """
        is_boolean = self._tables.sessions.columns[label].value == "boolean"
        has_it = SQL("coalesce({}, false)" if is_boolean else "coalesce({}, 0) > 0").format(Identifier(label))
        columns = {"event_count": SESSION_TYPES["event_count"], **features}
        statement = _LABELLED.format(has_it=has_it, columns=_names(columns), sessions=self._tables.sessions.identifier)
        schema = {"user_id": pl.String(), LABEL: pl.Boolean(), **dtypes(columns)}
        time = {"since": since, "until": until}
        found = connection.execute(_COUNT.format(sessions=self._tables.sessions.identifier), time).fetchone()
        count = int(found[0]) if found else 0
        frames = list(_frames(connection, statement, {**time, "most": most, "count": count}, schema))
        return pl.concat(frames) if frames else pl.DataFrame(schema=schema), count

    def replace(
        self, connection: psycopg.Connection, frames: Iterable[pl.DataFrame], scored: Sequence[ScoredPartition]
    ) -> int:
        """Make the scores of these partitions those of the frames, and record it. The stream's lock is held.

        Args:
            connection: inside a transaction that holds the stream's lock since the sessions were read.
            frames: with the columns of `session_scores`, of these partitions alone.
            scored: the partitions; one that no model has scored is no longer recorded.

        Returns:
            How many scores are stored.
        """
        table, recorded = self._tables.session_scores, self._tables.scored_partitions
        partitions = [each.session_partition for each in scored]
        for of in (table, recorded):
            connection.execute(
                SQL("delete from {} where session_partition = any(%s)").format(of.identifier), [partitions]
            )
        encoder = CopyEncoder(dtypes(table.columns))
        rows = 0

        def encoded() -> Iterator[bytes]:
            nonlocal rows
            for frame in frames:
                rows += frame.height
                yield from encoder.rows(frame)

        copied = copy_rows(connection, table.identifier, table.columns, encoded())
        check_count(connection, table, "inserted", rows, copied)
        with connection.cursor() as cursor:
            insert = SQL("insert into {} (session_partition, version, models) values (%s, %s, %s)")
            kept = [(each.session_partition, each.version, each.models) for each in scored if each.models]
            cursor.executemany(insert.format(recorded.identifier), kept)
        self._tables.index(connection, table)
        return rows

    def forget_changed(self, connection: psycopg.Connection) -> None:
        """Remove the scores of sessions that a load has found to differ; also where no score is stated any more."""
        if self._exist(connection):
            connection.execute(_FORGET.format(scores=self._scores))

    def forget_unloaded(self, connection: psycopg.Connection, loaded: Sequence[str]) -> None:
        """Remove what is of other session partitions than the loaded ones, as after a rebuild with another cadence."""
        if self._exist(connection):
            for table in (self._scores, self._tables.scored_partitions.identifier):
                connection.execute(_FORGET_UNLOADED.format(table=table), [list(loaded)])

    def _exist(self, connection: psycopg.Connection) -> bool:
        return connection.execute("select to_regclass(%s)", [self._scores.as_string()]).fetchone() != (None,)


def _names(features: Mapping[str, StoredType]) -> Composed:
    return SQL(", ").join(map(Identifier, features))


def _frames(
    connection: psycopg.Connection, statement: Composed, values: Any, schema: Mapping[str, pl.DataType]
) -> Iterator[pl.DataFrame]:
    with connection.cursor(name="sessions_to_score") as cursor:
        cursor.execute(statement, values)
        while rows := cursor.fetchmany(_AT_ONCE):
            yield pl.DataFrame(rows, schema=dict(schema), orient="row")
