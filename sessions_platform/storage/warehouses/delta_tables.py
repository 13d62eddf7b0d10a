"""A target of Delta tables, in a local folder or an object store: one for each table of the target.

A delivery is one commit for each table: an overwrite of the partitions that it changes. Delta does not let a commit
depend on the token of another, so the token is compared before, in the version that the commit is based on, and a
commit that another one has overtaken is made again from the comparison on. Not here: how long old files are of use to
readers, which the stream's file says (`keep_for`).
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from sessions_platform.contracts.secrets import text_of
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import DeltaTarget
from sessions_platform.errors import require_extra
from sessions_platform.storage.warehouses.arrow_rows import arrow_schema, arrow_tables
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Columns
from sessions_platform.storage.warehouses.local_files import local_path
from sessions_platform.storage.warehouses.table_by_table import TableByTable

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction

_TYPES = {
    pl.String(): "string",
    pl.Int64(): "long",
    pl.Float64(): "double",
    pl.Boolean(): "boolean",
    pl.Datetime("us", "UTC"): "timestamp",
}
_ROWS_AT_ONCE = 64 * 1024
_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_APPLICATION = "sessions_platform"


class DeltaTables(TableByTable[DeltaTarget]):
    """Delta tables of the names of the tables, below one path."""

    def __init__(self, name: str, config: DeltaTarget, stream: Stream, tables: Mapping[str, Columns]) -> None:
        require_extra("deltalake", "delta")
        super().__init__(name, config, stream, tables)

    def apply(self, changes: Changes) -> None:
        from deltalake.exceptions import CommitFailedError

        with self._told():
            for table in self._committed(lambda table: self._commit(table, changes), CommitFailedError):
                self._vacuum(table)

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        columns = self.tables[table]
        with self._told():
            opened = self._opened(table)
            if opened is None:
                return
            found = self._types_of(opened)
            self._require_types(table, found)
            chosen = None if partitions is None else pc.field(PARTITION).isin(list(partitions))
            names = [name for name in columns if name in found]
            for batch in _batches(opened, names, chosen):
                frame = pl.DataFrame(pl.from_arrow(batch))
                lacking = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in found]
                yield frame.with_columns(lacking).select(*columns).cast(pl.Schema(columns))

    def _tokens(self) -> list[int]:
        with self._told():
            opened = [self._opened(table) for table in self.tables]
            return [_token_of(table) if table else 0 for table in opened]

    def _commit(self, table: str, changes: Changes) -> None:
        from deltalake import CommitProperties, Transaction

        from sessions_platform.storage.warehouses.delta_files import write_files

        columns = self.tables[table]
        opened = self._prepared(table, columns)
        self.require_own(self.stream.name, _token_of(opened), changes.token)
        properties = CommitProperties(app_transactions=[Transaction(_APPLICATION, changes.token)], max_commit_retries=0)
        if not changes.partitions:
            return
        written: list[AddAction | RemoveAction] = [
            file
            for partition in changes.partitions
            for file in write_files(
                self._uri(table),
                self._options,
                partition,
                arrow_tables(changes.rows(table, partition), columns, partition, _ROWS_AT_ONCE),
            )
        ]
        opened.create_write_transaction(
            written,
            "overwrite",
            opened.schema(),
            [PARTITION],
            [(PARTITION, "in", list(changes.partitions))],
            commit_properties=properties,
        )

    def _prepared(self, table: str, columns: Columns) -> "DeltaTable":
        """The table, made where there is none, and with all columns."""
        from deltalake import DeltaTable, Field
        from deltalake.schema import PrimitiveType

        opened = self._opened(table)
        if opened is None:
            DeltaTable.create(
                self._uri(table),
                arrow_schema(columns),
                mode="ignore",  # a twin may be faster
                partition_by=[PARTITION],
                name=self.stream.name,
                storage_options=self._options,
            )
            opened = self._opened(table)
            assert opened is not None
        found = self._types_of(opened)
        self._require_types(table, found)
        if lacking := [
            Field(name, PrimitiveType(_TYPES[dtype])) for name, dtype in columns.items() if name not in found
        ]:
            opened.alter.add_columns(lacking)
            opened.update_incremental()
        return opened

    def _opened(self, table: str) -> "DeltaTable | None":
        """The table in its newest version, None where there is none. Refuses one that is not of the stream."""
        from deltalake import DeltaTable

        uri, options = self._uri(table), self._options
        if not DeltaTable.is_deltatable(uri, storage_options=options):
            return None
        opened = DeltaTable(uri, storage_options=options)
        owner = opened.metadata().name
        if owner is None:
            raise self.error(f"{table} is a table of another program", "name another place")
        self.require_own(owner, 0, 0)
        return opened

    def _vacuum(self, table: str) -> None:
        """Remove the files of superseded versions and killed deliveries that are older than the stream keeps them."""
        hours = math.ceil(self.config.keep_for.total_seconds() / 3600)  # the library knows whole ones only
        if opened := self._opened(table):
            opened.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)

    def _types_of(self, opened: "DeltaTable") -> dict[str, str]:
        return {field.name: getattr(field.type, "type", str(field.type)) for field in opened.schema().fields}

    def _require_types(self, table: str, found: Mapping[str, str]) -> None:
        wanted = {name: _TYPES[dtype] for name, dtype in self.tables[table].items()}
        fix = "remove the table there, or name another path; everything is delivered again"
        self.require_types(table, found, wanted, fix)

    def _uri(self, table: str) -> str:
        path = self.config.path
        return f"{path.rstrip('/')}/{table}" if self.config.is_remote else str(local_path(self) / table)

    @property
    def _options(self) -> dict[str, str]:
        stated = self.config.options
        return {name: text_of(value, f"targets.{self.name}.options.{name}") for name, value in stated.items()}

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise the library's errors as a TargetError, without the rows that some of them quote."""
        from deltalake.exceptions import CommitFailedError, DeltaError

        try:
            yield
        except CommitFailedError:
            fix = "see what else writes to the table; it is tried again"
            raise self.error("other commits were faster each time", fix) from None
        except (DeltaError, OSError) as error:
            said = _COLOURS.sub("", str(error)).strip().splitlines()[0].rstrip(".")
            fix = "see whether the path is right and may be written, and the disk or bucket has room"
            raise self.error(f"Delta says {said!r}", fix) from None


def _token_of(table: "DeltaTable") -> int:
    return table.transaction_version(_APPLICATION) or 0


def _batches(table: "DeltaTable", columns: Sequence[str], chosen: "pc.Expression | None") -> Iterator[pa.RecordBatch]:
    """The rows of a table, one file after another: a scan of the whole table reads several at once."""
    rows = table.to_pyarrow_dataset()
    how = {"columns": columns, "filter": chosen, "batch_size": _ROWS_AT_ONCE, "batch_readahead": 1}
    for file in rows.get_fragments(chosen):
        yield from file.to_batches(rows.schema, **how)
