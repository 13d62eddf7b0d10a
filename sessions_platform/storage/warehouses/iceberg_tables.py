"""A target of Iceberg tables, in a local folder or an object store, with an SQL catalog.

A delivery is one commit for each table: one snapshot, in which the files of the changed partitions are replaced. Which
files those are is decided here, by the partition that the table's metadata state for each. The token is a property of
the table, set by the same commit. A commit that another one has overtaken is made again from the comparison of the
tokens on, not by the library, which would commit an older token after a newer one. Not here: which files are no longer
needed (`iceberg_leftovers.py`).
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import polars as pl
import pyarrow as pa

from sessions_platform.contracts.secrets import text_of
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import IcebergTarget
from sessions_platform.errors import require_extra
from sessions_platform.storage.warehouses.arrow_rows import arrow_schema, arrow_tables
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Columns
from sessions_platform.storage.warehouses.local_files import local_path, told
from sessions_platform.storage.warehouses.table_by_table import TableByTable

if TYPE_CHECKING:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import DataScan, Table

_TYPES = {
    pl.String(): "string",
    pl.Int64(): "long",
    pl.Float64(): "double",
    pl.Boolean(): "boolean",
    pl.Datetime("us", "UTC"): "timestamptz",
}
_CATALOG = "sessions_platform"  # what the catalog's rows are called by; other engines state it to read them
_STREAM, _TOKEN = "sessions_platform.stream", "sessions_platform.token"
_ROWS_AT_ONCE = 128 * 1024
_DROP = "drop it in the catalog and remove its folder; everything is delivered again"
_PROPERTIES = {
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "write.parquet.compression-codec": "zstd",
}


class IcebergTables(TableByTable[IcebergTarget]):
    """Iceberg tables of the names of the tables, in one namespace of a catalog, below one path."""

    def __init__(self, name: str, config: IcebergTarget, stream: Stream, tables: Mapping[str, Columns]) -> None:
        require_extra("pyiceberg", "iceberg")
        super().__init__(name, config, stream, tables)

    def apply(self, changes: Changes) -> None:
        from pyiceberg.exceptions import CommitFailedException, ValidationException

        from sessions_platform.storage.warehouses.iceberg_leftovers import remove_leftovers

        overtaken = (CommitFailedException, ValidationException)
        if self.config.catalog is None:
            with told(self):
                local_path(self).mkdir(parents=True, exist_ok=True)
        with self._told(), self._catalog() as catalog:
            for table in self._committed(lambda table: self._commit(catalog, table, changes), overtaken):
                if opened := self._opened(catalog, table):
                    remove_leftovers(opened, self.config.keep_for)

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        from pyiceberg.expressions import AlwaysTrue, In

        columns = self.tables[table]
        with self._told(), self._catalog() as catalog:
            opened = self._opened(catalog, table)
            if opened is None:
                return
            found = _types_of(opened)
            self._require_types(table, found)
            wanted = {} if partitions is None else {"term": PARTITION, "literals": set(partitions)}
            chosen = In(**wanted) if wanted else AlwaysTrue()
            names = tuple(name for name in columns if name in found)
            for batch in _batches(opened.scan(row_filter=chosen, selected_fields=names)):
                frame = pl.DataFrame(pl.from_arrow(batch))
                lacking = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in found]
                yield frame.with_columns(lacking).select(*columns).cast(pl.Schema(columns))

    def _tokens(self) -> list[int]:
        with self._told(), self._catalog() as catalog:
            opened = [self._opened(catalog, table) for table in self.tables]
            return [_token_of(table) if table else 0 for table in opened]

    def _commit(self, catalog: "SqlCatalog", table: str, changes: Changes) -> None:
        opened = self._prepared(catalog, table)
        self.require_own(self.stream.name, _token_of(opened), changes.token)
        if not changes.partitions:
            return
        with opened.transaction() as transaction:
            transaction.set_properties({_TOKEN: str(changes.token)})
            with transaction.update_snapshot().overwrite() as snapshot:
                for file in _files_of(opened, changes.partitions):
                    snapshot.delete_data_file(file)
                for rows in self._rows_of(table, changes):
                    for file in _written(opened, rows):
                        snapshot.append_data_file(file)

    def _rows_of(self, table: str, changes: Changes) -> Iterator[pa.Table]:
        """The new rows, as many at once as a file shall have."""
        for partition in changes.partitions:
            yield from arrow_tables(changes.rows(table, partition), self.tables[table], partition, _ROWS_AT_ONCE)

    def _prepared(self, catalog: "SqlCatalog", table: str) -> "Table":
        """The table, made where there is none, and with all columns."""
        opened, columns = self._opened(catalog, table), self.tables[table]
        if opened is None:
            self._make(catalog, table)
            opened = self._opened(catalog, table)
            assert opened is not None
        found = _types_of(opened)
        self._require_types(table, found)
        if lacking := {name: dtype for name, dtype in columns.items() if name not in found}:
            with opened.update_schema() as schema:
                schema.union_by_name(arrow_schema({PARTITION: pl.String(), **lacking}))
        return opened

    def _make(self, catalog: "SqlCatalog", table: str) -> None:
        from pyiceberg.exceptions import NoSuchTableError, TableAlreadyExistsError
        from pyiceberg.transforms import IdentityTransform

        identifier = (self.config.namespace, table)
        catalog.create_namespace_if_not_exists(self.config.namespace)
        with contextlib.suppress(NoSuchTableError):  # whose files are gone
            catalog.drop_table(identifier)
        with (
            contextlib.suppress(TableAlreadyExistsError),  # a twin was faster
            catalog.create_table_transaction(
                identifier,
                arrow_schema(self.tables[table]),
                location=f"{self._uri()}/{table}-{uuid4().hex}",  # so that it has no file of another table
                properties={**_PROPERTIES, _STREAM: self.stream.name},
            ) as transaction,
            transaction.update_spec() as spec,
        ):
            spec.add_field(PARTITION, IdentityTransform(), PARTITION)

    def _opened(self, catalog: "SqlCatalog", table: str) -> "Table | None":
        """The table as it is now, None where there is none. Refuses one that is not of the stream and of this path."""
        from pyiceberg.exceptions import NoSuchTableError

        try:
            opened = catalog.load_table((self.config.namespace, table))
        except (NoSuchTableError, FileNotFoundError):
            return None
        owner = opened.properties.get(_STREAM)
        if owner is None:
            raise self.error(f"{self.config.namespace}.{table} is a table of another program", "name another namespace")
        self.require_own(owner, 0, 0)
        if opened.location().rpartition("/")[0] != self._uri():
            raise self.error(
                f"{self.config.namespace}.{table} is in {opened.location()}", "name that path, or another namespace"
            )
        if [field.name for field in opened.spec().fields] != [PARTITION]:
            raise self.error(
                f"{self.config.namespace}.{table} is no longer divided by {PARTITION}",
                _DROP,
            )
        return opened

    def _require_types(self, table: str, found: Mapping[str, str]) -> None:
        wanted = {name: _TYPES[dtype] for name, dtype in self.tables[table].items()}
        self.require_types(table, found, wanted, _DROP)

    def _uri(self) -> str:
        """The folder of the namespace, which has a folder for each table that was made."""
        path = self.config.path.rstrip("/") if self.config.is_remote else local_path(self)
        return f"{path}/{self.config.namespace}"

    @contextmanager
    def _catalog(self) -> "Iterator[SqlCatalog]":
        from pyiceberg.catalog.sql import SqlCatalog

        stated, key = self.config.options, f"targets.{self.name}"
        options = {name: text_of(value, f"{key}.options.{name}") for name, value in stated.items()}
        if self.config.catalog is None:
            file = local_path(self) / "catalog.db"
            uri = f"sqlite:///{file}" if file.parent.exists() else "sqlite://"  # an empty one, in memory
        else:
            uri = self.config.catalog.read(f"{key}.catalog").replace("postgresql://", "postgresql+psycopg://", 1)
        io = {"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO"}
        catalog = SqlCatalog(_CATALOG, uri=uri, **io, **options)
        try:
            yield catalog
        finally:
            catalog.engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise the library's errors as a TargetError, without rows and passwords."""
        from pyiceberg.exceptions import CommitFailedException, ValidationException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (CommitFailedException, ValidationException):
            fix = "see what else writes to the table; it is tried again"
            raise self.error("other commits were faster each time", fix) from None
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()[0].rstrip(".")
            fix = "see whether the catalog's database is up, its URL is right, and its user may write there"
            raise self.error(f"the catalog says {said!r}", fix) from None
        except OSError as error:
            said = str(error.strerror or error).strip().splitlines()[0].rstrip(".")
            fix = "see whether the path is right and may be written, and the disk or bucket has room"
            raise self.error(f"its files can't be written or read: {said!r}", fix) from None


def _token_of(table: "Table") -> int:
    return int(table.properties.get(_TOKEN, "0"))


def _types_of(table: "Table") -> dict[str, str]:
    return {field.name: str(field.field_type) for field in table.schema().fields}


def _files_of(table: "Table", partitions: Sequence[str]) -> "Iterator[DataFile]":
    """The table's files of some partitions."""
    wanted = set(partitions)
    for task in table.scan().plan_files():
        if task.file.partition[0] in wanted:
            yield task.file


def _batches(scan: "DataScan") -> "Iterator[pa.RecordBatch]":
    """The rows of a scan, one file after another: its own reader reads all files at once and keeps them until used."""
    from pyiceberg.io.pyarrow import ArrowScan

    reader = ArrowScan(scan.table_metadata, scan.io, scan.projection(), scan.row_filter, scan.case_sensitive)
    for task in scan.plan_files():
        yield from reader.to_record_batches([task])


def _written(table: "Table", rows: pa.Table) -> "Iterator[DataFile]":
    """New files with rows, which no snapshot has yet."""
    from pyiceberg.io.pyarrow import _dataframe_to_data_files  # that of `overwrite`, which takes all rows at once

    yield from _dataframe_to_data_files(table.metadata, rows, table.io)
