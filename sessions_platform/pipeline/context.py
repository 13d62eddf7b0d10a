"""`StreamContext`: one stream together with its source, lake, ledger and warehouse.

Here belong opening a context, preparing its tables, and the stored state of each asset as a `Dataset`. What works on
rows is imported where rows are worked on: `status` and the like need neither polars nor pyarrow. Not here: any change
of that state, which is made by the stages of the pipeline, and the meaning of settings (`settings`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_folder import BrokenStream, read_streams
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.settings import Settings
from sessions_platform.sources.base import Found, Source, delay, search, unread
from sessions_platform.sources.registry import open_source
from sessions_platform.storage.erasure_key import ErasureKey
from sessions_platform.storage.lake.lake import Dataset, Lake
from sessions_platform.storage.lake.opening import open_filesystem
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.files import raw_files
from sessions_platform.storage.ledger.ledger import KnownFile, LandingVersion, Ledger, Snapshot
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.warehouses.postgres.queries import WarehouseQueries
from sessions_platform.storage.warehouses.postgres.tables import WarehouseTables

if TYPE_CHECKING:
    import polars as pl

    from sessions_platform.storage.lake.spill import Spill
    from sessions_platform.storage.warehouses.postgres.dead_letters import DeadLetters
    from sessions_platform.storage.warehouses.postgres.loader import Warehouse
    from sessions_platform.transforms.people import Resolve
    from sessions_platform.transforms.sessionize import EventReader


@dataclass(frozen=True)
class StreamContext:
    """What the stages of one stream work on.

    `prepare` has to be called before the ledger or the warehouse is used; each stage and operation begins with it.
    """

    stream: Stream
    source: Source
    lake: Lake
    database: Database
    ledger_shadow: bool = False  # of a shadow build: its rows in the ledger are those of a shadow stream
    memory: MemoryBudget = field(default_factory=MemoryBudget.default)
    engine: str = "polars"  # of engines.registry
    spark: str = "local[*]"  # what the engine spark runs on
    erasure_key: ErasureKey = field(default_factory=ErasureKey)
    _prepared: Event = field(default_factory=Event, init=False, repr=False, compare=False)

    @classmethod
    def open(
        cls, stream: Stream, settings: Settings, source: Source | None = None, database: Database | None = None
    ) -> "StreamContext":
        """A context with the lake and database that the settings name; tests pass a source of their own."""
        source = source or open_source(stream, settings)
        lake = Lake(open_filesystem(settings), settings.scratch)
        key = ErasureKey(settings.erasure_key, settings.home / "erasure.key")
        database = database or Database(settings)
        engine = stream.engine or settings.engine
        return cls(stream, source, lake, database, False, settings.memory, engine, settings.spark, key)

    def prepare(self) -> None:
        """Create or upgrade the tables of the ledger and of the stream; further calls do nothing.

        A shadow build has no tables in the warehouse until it is swapped in, so only its ledger is prepared.

        Raises:
            CalendarChangedError: the stream's partitions were made with another cadence or timezone.
            WarehouseError: a column of the stream has another type than in the warehouse.
        """
        if self._prepared.is_set():
            return
        self.ledger.prepare(self.stream.calendars)
        if not self.ledger_shadow:
            with self.database.transaction() as connection:
                self.tables.prepare(connection)
        self._prepared.set()

    @cached_property
    def ledger(self) -> Ledger:
        """The stream's ledger; that of the shadow stream in a shadow build."""
        ledger = Ledger(self.database, self.stream.name)
        return ledger.shadow if self.ledger_shadow else ledger

    @cached_property
    def tables(self) -> WarehouseTables:
        """The stream's tables and views in the warehouse."""
        return WarehouseTables(self.stream)

    @property
    def dead_letters(self) -> "DeadLetters":
        """The stream's dead-letter queue in the warehouse."""
        return self.tables.dead_letters

    @cached_property
    def queries(self) -> WarehouseQueries:
        """What is read from the tables."""
        return WarehouseQueries(self.tables)

    @cached_property
    def warehouse(self) -> "Warehouse":
        """What loads sessions and rejected events into the tables."""
        from sessions_platform.storage.warehouses.postgres.loader import Warehouse

        return Warehouse(self.tables)

    @property
    def event_columns(self) -> "dict[str, pl.DataType]":
        """The columns of the stream's events, in order."""
        from sessions_platform.contracts.events import event_columns

        return event_columns(self.stream)

    def folder(self, asset: str, partition: str) -> str:
        """The folder in the lake of one partition of an asset."""
        return f"{self.stream.name}/{asset}/{partition}"

    def spill(
        self, schema: "Mapping[str, pl.DataType]", buckets: int = 1, by: "pl.Expr | None" = None, *, keep: bool = False
    ) -> "Spill":
        """Rows that leave memory for the scratch folder beyond a bucket's size; other arguments as for `Spill`.

        Args:
            keep: they stay in memory up to what is worked on at once. For the rows of a partition, not for more.
        """
        from sessions_platform.storage.lake.spill import Spill

        most = self.memory.at_once if keep else None
        return Spill(self.lake.scratch, schema, self.memory.bucket, buckets, by, most_in_memory=most)

    def buckets_for(self, size: int) -> int:
        """How many buckets a size in bytes is divided into; at least one."""
        return 1 + size // self.memory.bucket

    def stale_session_partitions(self) -> list[str]:
        """Session partitions to refresh: events changed, or another session rule computed them."""
        return self.ledger.stale_partitions(self.stream.session_rule_version)

    def found(self) -> Found:
        """What there is in the source after the stored cursors. Looking at a hundred thousand files takes seconds."""
        return search(self.source, cursors=self.ledger.cursors())

    def unread(self, most: int) -> int | None:
        """How many records were not read, as of `sources.base.unread`."""
        return unread(self.source, self.ledger.cursors(), most)

    def delay(self) -> timedelta | None:
        """For how long the oldest record that was not read has waited, as of `sources.base.delay`."""
        return delay(self.source, self.ledger.cursors())

    # The stored state of each asset, as the ledger records it ------------------------------------------------

    def raw_events(self, landing_partitions: Sequence[str]) -> Dataset:
        """What was last read of the slices of these partitions, published or not."""
        from sessions_platform.contracts.raw_events import RAW_EVENTS

        files: dict[str, list[KnownFile]] = {partition: [] for partition in landing_partitions}
        for known in self.ledger.files(landing_partitions):
            files[known.landing_partition].append(known)
        return Dataset(
            self.lake, RAW_EVENTS, {partition: tuple(raw_files(known)) for partition, known in files.items()}
        )

    def events(self, landing_partitions: Sequence[str]) -> Dataset:
        """The published accepted events."""
        return self._published(landing_partitions, "events")

    def rejected_events(self, landing_partitions: Sequence[str]) -> Dataset:
        """The published rejected rows."""
        return self._published(landing_partitions, "rejected_events")

    def sessionized_events(self, session_partitions: Sequence[str]) -> Dataset:
        """The newest sessionized events, loaded or not."""
        from sessions_platform.contracts.sessions import sessionized_columns

        files: dict[str, tuple[StoredFile, ...]] = dict.fromkeys(session_partitions, ())
        for version in self.ledger.newest_sessions(session_partitions):
            files[version.session_partition] = (version.stored,)
        return Dataset(self.lake, sessionized_columns(self.stream), files)

    def reader(
        self,
        snapshot: Snapshot,
        unpublished: Iterable[str] = (),
        columns: Iterable[str] | None = None,
        resolve: "Resolve | None" = None,
    ) -> "EventReader":
        """A function that reads accepted events of a time window.

        Args:
            snapshot: the landing versions whose events are read.
            unpublished: paths of lake files with accepted events that are read, too.
            columns: of `cut_columns`, those to read; all of them by default.
            resolve: gives events their person; by default as the links of the snapshot do.
        """
        from sessions_platform.contracts.sessions import cut_columns
        from sessions_platform.engines.accepted_events import event_reader, resolve_by

        resolve = resolve or resolve_by(self.lake, self.stream, snapshot.landings)
        return event_reader(self.lake, cut_columns(self.stream), snapshot.landings, unpublished, columns, resolve)

    def _published(self, landing_partitions: Sequence[str], asset: str) -> Dataset:
        from sessions_platform.contracts.rejected_events import REJECTED_EVENTS

        wanted = set(landing_partitions)
        schema = self.event_columns if asset == "events" else REJECTED_EVENTS
        files = {
            landing.landing_partition: (self._published_file(landing, asset),)
            for landing in self.ledger.landings()
            if landing.landing_partition in wanted
        }
        return Dataset(self.lake, schema, {partition: files.get(partition, ()) for partition in landing_partitions})

    def _published_file(self, landing: LandingVersion, asset: str) -> StoredFile:
        path = landing.events_path if asset == "events" else landing.rejected_path
        rows = landing.accepted if asset == "events" else landing.rejected_stretches
        return StoredFile(path, rows, self.lake.size(path))


def open_contexts(settings: Settings, names: Sequence[str] | None = None) -> list[StreamContext]:
    """Contexts of the streams of these names, by default of all that are not broken; they share a `Database`.

    Raises:
        UserError: there is no stream of a name, or its file has problems; those of other streams do not matter.
    """
    streams = read_streams(settings.streams, settings.home, settings.pseudonym_key)
    return _opened(streams.usable.values() if names is None else map(streams.named, names), settings)


def open_all(settings: Settings) -> tuple[list[StreamContext], list[BrokenStream]]:
    """The contexts of all streams that can be used, and those that can't, from one reading of their files."""
    streams = read_streams(settings.streams, settings.home, settings.pseudonym_key)
    return _opened(streams.usable.values(), settings), list(streams.broken.values())


def _opened(streams: Iterable[Stream], settings: Settings) -> list[StreamContext]:
    database = Database(settings)
    return [StreamContext.open(stream, settings, database=database) for stream in streams]
