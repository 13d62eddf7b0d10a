"""The changes of a PostgreSQL table as a source, from the server's log: first all of its rows, then what follows.

Exactly once rests on the order peek, record, advance: a slice's changes are read without letting them go, the ledger
stores with its rows up to where they are read, and the next `search` advances the slot to there. Whatever is killed
in between, the slot gives the same changes again. Not here: the slot (`slot`), and its messages (`pgoutput`).
"""

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import parse_qs, urlencode

from sessions_platform.contracts.postgres_source import PostgresSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.settings import BLOCK_BYTES
from sessions_platform.sources.base import NO_CURSORS, Cursor, Cursors, Found, Quarantine, Skipped, Slice
from sessions_platform.sources.errors import SourceUnavailableError
from sessions_platform.sources.messages import PayloadReading
from sessions_platform.sources.postgres.pgoutput import Changes
from sessions_platform.sources.postgres.server import Server
from sessions_platform.sources.postgres.slot import Published, Slot, as_lsn, lsn_of
from sessions_platform.sources.postgres.table import Table
from sessions_platform.sources.server import ServerRecords
from sessions_platform.sources.tables.table import ALL


class PostgresChanges(ServerRecords):
    """What a slot has of one table."""

    def __init__(self, stream: Stream, block_bytes: int = BLOCK_BYTES) -> None:
        assert isinstance(stream.source, PostgresSource)
        assert stream.source.incremental is not None
        self._source, self._block_bytes = stream.source, block_bytes
        self.name = f"{stream.source.table}/slot/{stream.source.incremental.slot}"
        self._has_more = False

    def search(
        self,
        landing_partitions: Iterable[str] | None = None,  # noqa: ARG002  rows belong to whichever run reads them
        cursors: Cursors = NO_CURSORS,
    ) -> Found:
        """Without a cursor all rows of the table, then the changes behind it; and that the server's log grows."""
        position = cursors.get(self.name)
        with Server(self._source).reading() as connection:
            table, slot = Table(self._source, connection), Slot(self._source, connection)
            published = slot.published(is_first=position is None)
            if position is None and _has_rows(table, published):
                self._has_more = True
                # Its uri is before those of changes: which of two states of a row is the first depends on that.
                stated = {"after": as_lsn(0), "snapshot": as_lsn(slot.confirmed)}
                slices = [self._slice(stated, slot.confirmed)]
            else:
                at = lsn_of(position["lsn"]) if position else slot.confirmed
                slot.advance(at)
                slices = self._following(slot, at)
            return Found(slices, [Skipped(self._source.place, doubt) for doubt in slot.doubts])

    def has_more(self) -> bool:
        """Whether the last `search` has left changes for the next one."""
        return self._has_more

    def read(self, slice_: Slice, quarantine: Quarantine) -> PayloadReading:  # noqa: ARG002
        """A reading of the rows, or of the changes, that a slice's uri says."""
        stated = {name: values[0] for name, values in parse_qs(slice_.uri.partition("?")[2]).items()}
        if "snapshot" in stated:
            return SnapshotReading(self._source, self._block_bytes)
        after, upto = lsn_of(stated["after"]), lsn_of(stated["upto"])
        return ChangesReading(self._source, after, upto, self._block_bytes)

    def _following(self, slot: Slot, at: int) -> list[Slice]:
        following = slot.following(at)
        self._has_more = following.has_more
        if following.upto <= at:
            return []
        return [self._slice({"after": as_lsn(at), "upto": as_lsn(following.upto)}, following.upto)]

    def _slice(self, stated: dict[str, str], position: int) -> Slice:
        slot = self.name.rpartition("/")[2]
        uri = f"{self._source.place}?{urlencode({'slot': slot, **stated}, safe='/')}"
        return Slice(uri, "fixed", None, Cursor(self.name, {"lsn": as_lsn(position)}))


class SnapshotReading(PayloadReading):
    """All rows of the table as they are now, in the JSON that changes have, so that equal rows have equal payloads."""

    def __init__(self, source: PostgresSource, block_bytes: int) -> None:
        super().__init__(block_bytes)
        self._source = source

    def payloads(self) -> Iterator[bytes]:
        """The JSON of each row."""
        with Server(self._source).reading() as connection:
            table = Table(self._source, connection)
            published = Slot(self._source, connection).published(is_first=False)
            yield from table.copied(_as_texts(table, published))


class ChangesReading(PayloadReading):
    """The rows that transactions inserted and updated, of those whose commit lies between two positions.

    `warnings` say how many rows were deleted.
    """

    def __init__(self, source: PostgresSource, after: int, upto: int, block_bytes: int) -> None:
        super().__init__(block_bytes)
        self._source, self._after, self._upto = source, after, upto
        self._changes = Changes(source.place, source.table, after, upto)

    def payloads(self) -> Iterator[bytes]:
        """The JSON of each row."""
        self._changes = Changes(self._source.place, self._source.table, self._after, self._upto)
        with Server(self._source).reading() as connection:
            table, slot = Table(self._source, connection), Slot(self._source, connection)
            if slot.confirmed > self._after:
                raise SourceUnavailableError(f"{self._source.place}: another run has read this. Fix: run again.")
            for message in table.copied(f"select data from {slot.peek(self._upto)}"):
                if (row := self._changes.row(message)) is not None:
                    yield row

    @property
    def warnings(self) -> Sequence[str]:
        """What was not read."""
        counts = {"rows were deleted": self._changes.deletes, "times all rows were removed": self._changes.truncates}
        return [f"{count} {what}; as events they stay" for what, count in counts.items() if count]


def _has_rows(table: Table, published: Published) -> bool:
    return table.one(f"select exists ({_as_texts(table, published)})::int") == ("1",)


def _as_texts(table: Table, published: Published) -> str:
    """The published rows, each value as the text of its type's output function, or null."""
    # `is not null` would not do: of a composite value it asks for all of its fields.
    value = "case when t.{0} is distinct from null then format('%s', t.{0}) end as {0}"
    columns = ", ".join(value.format(table.quoted(name)) for name in published.columns)
    rows = f"select {columns} from {table.name} t where {published.filter or ALL}"
    return f"select row_to_json(r.*)::text from ({rows}) r"
