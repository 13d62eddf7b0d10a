"""A target of tables and views in a ClickHouse database.

ClickHouse has no transactions. So rows carry the version of their delivery, and a delivery writes its rows beside the
old ones. Then one insert of one row, which has the current version of every partition, shows the delivery as a whole: a
view has the rows of the newest such row. What it supersedes is dropped at last. Not here: how the server is reached,
and what its errors mean (`clickhouse_session.py`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import ClickhouseTarget
from sessions_platform.errors import require_extra
from sessions_platform.storage.warehouses.arrow_rows import arrow_table
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Columns, Target
from sessions_platform.storage.warehouses.clickhouse_session import client_of, telling

if TYPE_CHECKING:
    import pyarrow as pa
    from clickhouse_connect.driver.client import Client

_TYPES = {
    pl.String(): "String",
    pl.Int64(): "Int64",
    pl.Float64(): "Float64",
    pl.Boolean(): "Bool",
    pl.Datetime("us", "UTC"): "DateTime64(6, 'UTC')",
}
_DELIVERY = "sessions_platform_delivery"
_VERSION = "_version"
_ROWS_IN_AN_INSERT = 100_000
_FRAMES_IN_AN_INSERT = 100
_PARTITIONS_AT_ONCE = 500


@dataclass(frozen=True)
class _State:
    """What readers see: token and version of the newest delivery that was shown, and the version of each partition."""

    token: int
    version: int
    versions: Mapping[str, int]


class _Left(NamedTuple):
    """Rows of one session partition and version, which readers do not see, by what the server calls them."""

    table: str
    version: int
    part: str


class ClickhouseTables(Target[ClickhouseTarget]):
    """Tables `sessions_rows` and so on with the rows of all versions, and views `sessions` and so on of the current.

    The version of rows is the token of the delivery that has written them, or one more than the last. The table of
    deliveries has two rows for each: one when it begins, and one, with the versions of all partitions, when it is
    shown. One that was overtaken may still insert the second: it is not the newest, and nobody sees it.
    """

    def __init__(self, name: str, config: ClickhouseTarget, stream: Stream, tables: Mapping[str, Columns]) -> None:
        require_extra("clickhouse_connect", "clickhouse", "clickhouse-connect")
        super().__init__(name, config, stream, tables)

    def token(self) -> int:
        with client_of(self) as client, telling(self):
            needed = {_DELIVERY, *self.tables, *(_rows(table) for table in self.tables)}
            is_whole = needed <= self._found(client).keys()
            return self._state(client).token if is_whole else 0

    def is_unfinished(self) -> bool:
        """Whether a delivery has begun after the one that is shown, or rows are there that it does not show."""
        with client_of(self) as client, telling(self):
            found = self._found(client)
            if _DELIVERY not in found:
                return False
            state = self._state(client)
            there = [table for table in self.tables if _rows(table) in found]
            return self._newest(client)[1] > state.token or any(
                state.versions.get(partition) != version
                for table in there
                for partition, version, _ in self._versions(client, table)
            )

    def apply(self, changes: Changes) -> None:
        with client_of(self) as client:
            with telling(self):
                self._require_own_names(client)
                self._begin(client, changes.token)
                self._prepare(client)
                state = self._state(client)
                version = max(changes.token, state.version + 1)
                self._drop(
                    client, [left for left in self._left(client, {}) if left.version == version]
                )  # of a first try
            self._stage(client, changes, version)
            versions = {**state.versions, **dict.fromkeys(changes.partitions, version)}
            with telling(self):
                self._show(client, _State(changes.token, version, versions))

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """What the view shows."""
        columns = self.tables[table]
        with client_of(self) as client, telling(self):
            there = self._found(client)
            if not {table, _rows(table), _DELIVERY} <= there.keys():
                return
            found = there[table]
            self._require_types(table, found)
            own = {name: _read_as(name, dtype) for name, dtype in columns.items()}
            chosen = ", ".join(own[name] if name in found else f"null as {_quoted(name)}" for name in columns)
            query = f"select {chosen} from {self._named(table)}"
            for some in _chosen(partitions):
                where = "" if some is None else f" where {PARTITION} in {{partitions:Array(String)}}"
                parameters = None if some is None else {"partitions": some}
                with client.query_arrow_stream(query + where, parameters, use_strings=True) as batches:
                    for batch in batches:
                        yield _frame(batch, columns)

    def _require_own_names(self, client: "Client") -> None:
        """Refuse to begin where one of the names is somebody else's, who would lose what has it."""
        kinds = "select name, engine, as_select from system.tables where database = currentDatabase()"
        there = {name: (engine, select) for name, engine, select in client.query(kinds).result_rows}
        prefix = self.config.prefix
        for table in self.tables:
            engine, select = there.get(f"{prefix}{table}", ("View", f"{prefix}{_rows(table)}"))
            if engine != "View" or f"{prefix}{_rows(table)}" not in select:
                raise self._foreign(table, engine)
        for table in [_DELIVERY, *map(_rows, self.tables)]:
            engine, _ = there.get(f"{prefix}{table}", ("MergeTree", ""))
            if not engine.endswith("MergeTree"):
                raise self._foreign(table, engine)

    def _foreign(self, table: str, engine: str) -> Exception:
        named = f"{self.config.prefix}{table}"
        reason = f"it has another {named}, of engine {engine}"
        return self.error(reason, f"state another prefix, or rename {named} there")

    def _begin(self, client: "Client", token: int) -> None:
        """Take the turn from deliveries with a smaller token. Raises LaterDeliveryError where a later one has it."""
        client.command(
            f"create table if not exists {self._named(_DELIVERY)} "
            "(token Int64, stream String, is_shown Bool, version Int64, versions Map(String, Int64)) "
            "engine = MergeTree partition by token order by token"
        )
        self._require_turn(client, token)
        self._log(client, _State(token, 0, {}), is_shown=False)
        self._require_turn(client, token)

    def _require_turn(self, client: "Client", token: int) -> None:
        self.require_own(*self._newest(client), token)

    def _newest(self, client: "Client") -> tuple[str, int]:
        """Whose delivery has begun last, and its token."""
        newest = f"select stream, token from {self._named(_DELIVERY)} order by token desc limit 1"
        rows = client.query(newest).result_rows
        return (rows[0][0], rows[0][1]) if rows else (self.stream.name, 0)

    def _state(self, client: "Client") -> _State:
        rows = client.query(self._shown()).result_rows
        return _State(*rows[0]) if rows else _State(0, 0, {})

    def _shown(self) -> str:
        """A query of the newest delivery that was shown."""
        delivery = self._named(_DELIVERY)
        newest = "order by token desc, version desc limit 1"
        return f"select token, version, versions from {delivery} where is_shown {newest}"

    def _log(self, client: "Client", state: _State, *, is_shown: bool) -> None:
        row = {"stream": self.stream.name, "is_shown": is_shown, **asdict(state)}
        client.raw_insert(self._named(_DELIVERY), list(row), json.dumps(row, ensure_ascii=False), fmt="JSONEachRow")

    def _prepare(self, client: "Client") -> None:
        """Make the tables, add the columns that they lack, and make their views."""
        found = self._found(client)
        for table, columns in self.tables.items():
            rows, stated = self._named(_rows(table)), _stated(columns)
            self._require_types(table, there := found.get(_rows(table), {}))
            client.command(
                f"create table if not exists {rows} ({', '.join(stated.values())}, {_VERSION} Int64) "
                f"engine = MergeTree partition by ({PARTITION}, {_VERSION}) order by user_id "
                "settings allow_nullable_key = 1"
            )
            for name in columns.keys() - (there or columns):
                client.command(f"alter table {rows} add column if not exists {stated[name]}")
            versions = "array join mapKeys(versions) as partition, mapValues(versions) as current"
            current = f"select partition, current from ({self._shown()}) {versions}"
            client.command(
                f"create or replace view {self._named(table)} as select * except {_VERSION} from {rows} "
                f"where ({PARTITION}, {_VERSION}) in ({current})"
            )

    def _stage(self, client: "Client", changes: Changes, version: int) -> None:
        """Write the new rows, which no reader sees yet. Raises LaterDeliveryError where the turn is lost."""
        stated = pl.lit(version, pl.Int64).alias(_VERSION)
        for table, columns in self.tables.items():
            for rows in _batches(changes.rows_of(table)):
                staged = arrow_table(rows.with_columns(stated), {**columns, _VERSION: pl.Int64()})
                with telling(self):
                    self._require_turn(client, changes.token)
                    client.insert_arrow(self._named(_rows(table)), staged)

    def _show(self, client: "Client", state: _State) -> None:
        """Show a delivery whose rows are there, and drop all that it does not show."""
        self._require_turn(client, state.token)
        self._log(client, state, is_shown=True)
        left = self._left(client, state.versions)
        # Another one that has begun meanwhile goes by the state before this one, whose rows have to stay, as its own.
        self._require_turn(client, state.token)
        self._drop(client, left)
        self._forget(client, state.token)

    def _left(self, client: "Client", current: Mapping[str, int]) -> list[_Left]:
        """What is there, of any version, but the current rows."""
        return [
            _Left(table, version, part)
            for table in self.tables
            for partition, version, part in self._versions(client, table)
            if current.get(partition) != version
        ]

    def _drop(self, client: "Client", left: Sequence[_Left]) -> None:
        for each in left:
            client.command(f"alter table {self._named(_rows(each.table))} drop partition id '{each.part}'")

    def _forget(self, client: "Client", token: int) -> None:
        """Drop the log of deliveries before this one."""
        delivery = self._named(_DELIVERY)
        for (old,) in client.query(f"select distinct token from {delivery} where token < {token}").result_rows:
            client.command(f"alter table {delivery} drop partition {old}")

    def _versions(self, client: "Client", table: str) -> Sequence[tuple[str, int, str]]:
        """The versions of each partition whose rows are there, and what the server calls them."""
        columns = f"{PARTITION}, {_VERSION}, _partition_id"
        found = f"select {columns}, count() from {self._named(_rows(table))} group by {columns}"
        return [(partition, version, part) for partition, version, part, _ in client.query(found).result_rows]

    def _found(self, client: "Client") -> dict[str, dict[str, str]]:
        """The types of the columns by table and view, without the prefix."""
        columns = "select table, name, type from system.columns where database = currentDatabase()"
        found = dict[str, dict[str, str]]()
        for table, name, stated in client.query(columns).result_rows:
            if table.startswith(self.config.prefix):
                found.setdefault(table.removeprefix(self.config.prefix), {})[name] = stated
        return found

    def _require_types(self, table: str, found: Mapping[str, str]) -> None:
        wanted = {name: _declared(name, dtype) for name, dtype in self.tables[table].items()}
        named = f"{self.config.prefix}{table}"
        self.require_types(
            table, found, wanted, f"drop {named} and {_rows(named)} there; everything is delivered again"
        )

    def _named(self, table: str) -> str:
        return f"{_quoted(self.config.database)}.{_quoted(self.config.prefix + table)}"


def _rows(table: str) -> str:
    return f"{table}_rows"


def _quoted(name: str) -> str:
    return f"`{name}`"


def _stated(columns: Columns) -> dict[str, str]:
    """The columns as a table is made of them."""
    return {name: f"{_quoted(name)} {_declared(name, dtype)}" for name, dtype in columns.items()}


def _declared(name: str, dtype: pl.DataType) -> str:
    return _TYPES[dtype] if name == PARTITION else f"Nullable({_TYPES[dtype]})"


def _chosen(partitions: Sequence[str] | None) -> Iterator[list[str] | None]:
    """As many partitions as a statement may name; None, for all of them, stays."""
    if partitions is None:
        yield None
        return
    for start in range(0, len(partitions), _PARTITIONS_AT_ONCE):
        yield list(partitions[start : start + _PARTITIONS_AT_ONCE])


def _batches(frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Frames together, each of one partition: an insert costs, and may have rows of a hundred partitions."""
    waiting, rows = list[pl.DataFrame](), 0
    for frame in frames:
        waiting.append(frame)
        rows += frame.height
        if rows >= _ROWS_IN_AN_INSERT or len(waiting) == _FRAMES_IN_AN_INSERT:
            yield pl.concat(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pl.concat(waiting)


def _read_as(name: str, dtype: pl.DataType) -> str:
    """A column as it is read: bytes that are no text, which somebody may have put there, are null."""
    is_text = dtype == pl.String() and name != PARTITION
    return f"if(isValidUTF8({_quoted(name)}), {_quoted(name)}, null)" if is_text else _quoted(name)


def _frame(batch: "pa.RecordBatch", columns: Columns) -> pl.DataFrame:
    """Rows of the server as a frame of the contract's types."""
    rows = pl.DataFrame(batch.rename_columns(list(columns)))
    return rows.cast(pl.Schema(columns))
