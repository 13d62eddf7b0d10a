"""A replication slot and its publication: what state they are in, what comes next, and letting go of what was recorded.

All by SQL functions over a plain connection. A slot gives the same changes again until it is advanced, and it is
advanced only to what the ledger has recorded. Not here: reading the changes (`changes`), and what they say
(`pgoutput`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from sessions_platform.contracts.postgres_source import PostgresSource
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.patience import patiently

SLICE_CHANGES = 200_000
# WAL that holds nothing of the table is let go in steps of this size.
IDLE_BYTES = 64 * 2**20

_NOW = "case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end"
_STATE = f"""
select plugin, database = current_database(), coalesce(wal_status, ''), active_pid, confirmed_flush_lsn::text,
       ({_NOW})::text, pg_wal_lsn_diff({_NOW}, restart_lsn)::int8, age(catalog_xmin), pg_is_in_recovery()
from pg_replication_slots where slot_name = %s"""
_PUBLISHED = """
select t.attnames::text[], t.rowfilter, p.pubupdate, least(age(p.xmin), age(r.xmin))
from pg_publication p
left join pg_publication_tables t on t.pubname = p.pubname and t.schemaname = %s and t.tablename = %s
left join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = to_regclass(%s)
where p.pubname = %s"""
# Whether an update may leave out a long value, of the table or of any of its partitions.
_LEAVES_OUT = """
select exists (
  select from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and a.attstorage <> 'p'
  where c.relkind = 'r' and c.relreplident <> 'f'
  and (c.oid = to_regclass(%s) or c.oid in (select relid from pg_partition_tree(to_regclass(%s)))))"""
_PEEK = "pg_logical_slot_peek_binary_changes({}, {}, {}, 'proto_version', '1', 'publication_names', {})"
_COMMIT = ord("C")
_ANEW = (
    "create a slot of another name, for this stream alone, and name it in source.incremental.slot: the table is then "
    "read anew, and what was read before is a duplicate"
)


@dataclass(frozen=True)
class Published:
    """What a publication has of the table: its columns, in order, and which rows, as a condition."""

    columns: Sequence[str]
    filter: str | None


@dataclass(frozen=True)
class Following:
    """The changes behind a position, of whole transactions: up to where, and whether there may be more behind them."""

    upto: int
    has_more: bool


class Slot:
    """The slot of a stream's source, as one connection sees it.

    Attributes:
        confirmed: up to where its changes have been let go.
        now: where the server's log ends.
    """

    def __init__(self, source: PostgresSource, connection: psycopg.Connection) -> None:
        """Wait until nobody else uses it. Raises SourceRefusedError where it can't be used."""
        stated = source.incremental
        assert stated is not None
        assert stated.slot is not None
        assert stated.publication is not None
        self._source, self._connection = source, connection
        self.name, self._publication = stated.slot, stated.publication
        try:
            patiently(self._look, lambda error: isinstance(error, SourceUnavailableError), source.give_up_after)
        except SourceUnavailableError as in_use:
            raise SourceRefusedError(str(in_use)) from None

    def published(self, *, is_first: bool) -> Published:
        """What the publication has of the table; raises SourceRefusedError where changes would be missing.

        `is_first`: whether nothing has been read of the slot by now.
        """
        table, publication = self._source.table, self._publication
        schema, _, name = table.partition(".")
        path = sql.Identifier(schema, name).as_string(self._connection)
        found = self._connection.execute(_PUBLISHED, [schema, name, path, publication]).fetchone()
        if found is None:
            made = f"create publication {publication} for table {table}, and a slot after it"
            raise self._refused(f"there is no publication {publication}", made)
        columns, condition, has_updates, age = found
        if columns is None:
            raise self._refused(
                f"the publication {publication} does not have this table",
                f"alter publication {publication} add table {table}, and create a slot after that; of a partitioned "
                "table, publish_via_partition_root has to be set",
            )
        if has_updates and self._connection.execute(_LEAVES_OUT, [path, path]).fetchone() == (True,):
            raise self._refused(
                "an update does not send the long values that it leaves as they are",
                f"alter table {table} replica identity full; or publish inserts alone: alter publication {publication} "
                "set (publish = 'insert')",
            )
        if is_first and age is not None and age <= self._age:
            raise self._refused(
                f"the publication {publication} was made or changed after the slot, which misses what was under way",
                f"select pg_drop_replication_slot('{self.name}'), then {self._create}",
            )
        return Published(columns, condition)

    def advance(self, recorded: int) -> None:
        """Let go of what is recorded. Raises SourceRefusedError where more is gone than that."""
        if self.confirmed > recorded:
            raise self._refused(
                f"changes were read up to {as_lsn(recorded)}, and the slot {self.name} has let go of those up to "
                f"{as_lsn(self.confirmed)}: somebody else reads it, or it was created again, and rows are missing",
                _ANEW,
            )
        if recorded > self.now and not self._lags:
            ends = f"the server's log ends at {as_lsn(self.now)}, as after it was restored from a backup or replaced"
            raise self._refused(f"changes were read up to {as_lsn(recorded)}, and {ends}", _ANEW)
        if self.confirmed < recorded <= self.now:
            statement = "select pg_replication_slot_advance(%s, %s::pg_lsn)"
            self._connection.execute(statement, [self.name, as_lsn(recorded)])

    def following(self, position: int) -> Following:
        """The next changes behind a position, of about `SLICE_CHANGES` messages.

        Where there are none, and the log holds much else, they are none up to its end.
        """
        peek = self.peek(None, SLICE_CHANGES)
        query = f"select max(lsn) filter (where get_byte(data, 0) = {_COMMIT})::text, count(*) from {peek}"
        found = self._connection.execute(query.encode()).fetchone()
        assert found is not None
        upto, messages = found
        if upto is not None:
            return Following(lsn_of(upto), has_more=messages >= SLICE_CHANGES)
        return Following(self.now if self.now - position > IDLE_BYTES else position, has_more=False)

    def peek(self, upto: int | None, at_most: int | None = None) -> str:
        """The function that gives changes from `confirmed` on, of whole transactions: rows of lsn, xid and data."""
        publication = '"' + self._publication.replace('"', '""') + '"'
        end = sql.Literal(as_lsn(upto) if upto is not None else None)
        function = sql.SQL(_PEEK).format(sql.Literal(self.name), end, sql.Literal(at_most), sql.Literal(publication))
        return function.as_string(self._connection)

    @property
    def doubts(self) -> list[str]:
        """That the server's log grows because of the slot, if it does more than the server plans for."""
        if self._wal_status not in ("extended", "unreserved"):
            return []
        return [
            f"the slot {self.name} holds {self._held / 2**20:,.0f} MB of the server's log (WAL) back. Fix: read the "
            "stream more often, and end transactions that stay open; or, if it is needed no longer, select "
            f"pg_drop_replication_slot('{self.name}')"
        ]

    def _look(self) -> None:
        found = self._connection.execute(_STATE, [self.name]).fetchone()
        if found is None:
            level = self._connection.execute("select current_setting('wal_level')").fetchone()
            before = "" if level == ("logical",) else "set wal_level = logical and restart the server, then "
            raise self._refused(f"there is no replication slot {self.name}", f"{before}{self._create}")
        plugin, is_here, self._wal_status, used_by, confirmed, now, self._held, self._age, self._lags = found
        if plugin != "pgoutput" or not is_here:
            what = f"of the plugin {plugin}" if plugin != "pgoutput" else "of another database"
            raise self._refused(f"the replication slot {self.name} is {what}", f"{self._create}, of another name")
        if self._wal_status == "lost" or confirmed is None:
            raise self._refused(
                f"the replication slot {self.name} is lost: the server removed the log that it needed, and rows may be "
                "missing",
                f"{_ANEW}; read the stream more often, or raise max_slot_wal_keep_size",
            )
        if used_by is not None:
            raise SourceUnavailableError(
                f"{self._source.place}: the replication slot {self.name} is in use by the server's process {used_by}. "
                "Fix: let it end; a slot is for one stream alone."
            )
        self.confirmed, self.now = lsn_of(confirmed), lsn_of(now)

    @property
    def _create(self) -> str:
        return f"select pg_create_logical_replication_slot('{self.name}', 'pgoutput')"

    def _refused(self, reason: str, fix: str) -> SourceRefusedError:
        return SourceRefusedError(f"{self._source.place}: {reason}. Fix: {fix}.")


def lsn_of(text: str) -> int:
    """A position in the server's log, as it writes it: 16/B374D848."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def as_lsn(position: int) -> str:
    """The other way round, in a text whose order is that of the positions."""
    return f"{position >> 32:08X}/{position & 0xFFFFFFFF:08X}"
