"""The `source` key of a stream whose events are the rows of a PostgreSQL table.

Not here: how rows are read (`sources.postgres`).
"""

from typing import ClassVar, Literal

from pydantic import Field

from sessions_platform.contracts.table_source import CursorIncremental, TableSource
from sessions_platform.contracts.values import Table, invalid

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

_WAYS = "write xid: row_xid; or cursor: updated_at with key and lag; or slot: sessions with publication"


class Incremental(CursorIncremental):
    """How the rows are found that are new since the last run: by their transaction, a cursor, or the server's log."""

    xid: str | None = Field(
        None,
        description="A column of type xid8 with the id of the writing transaction (default pg_current_xact_id()). No "
        "row is missed or read twice, however late its transaction commits.",
    )
    slot: str | None = Field(
        None,
        pattern=r"^[a-z0-9_]{1,63}$",
        description="A slot of the plugin pgoutput, for this stream alone: rows come from the server's log.",
    )
    publication: str | None = Field(None, min_length=1, description="With slot: the publication that has the table.")

    def _check_way(self) -> None:
        if sum(way is not None for way in (self.xid, self.cursor, self.slot)) != 1:
            raise invalid("it needs either xid, cursor or slot", _WAYS)
        if (self.slot is None) != (self.publication is None):
            raise invalid("slot and publication belong together", "name both, or neither")


class PostgresSource(TableSource):
    """The rows of a table, as the JSON that the server makes of them."""

    implementation: ClassVar[str] = "sessions_platform.sources.postgres.source:open_table"

    type: Literal["postgres"] = Field(description="The rows of a PostgreSQL table.")
    port: int = Field(5432, ge=1, le=65535)
    sslmode: SslMode = Field("prefer", description="As of libpq; verify-full to be sure of the server.")
    table: Table = Field(description="A table or view, with its schema.")
    incremental: Incremental | None = Field(
        None, description="How new rows are found; without it the table is read as a whole whenever it has changed."
    )

    @property
    def says_times(self) -> bool:
        """Whether the cursor is one."""
        return self.incremental is not None and self.incremental.lag_of_time is not None

    @property
    def counts_unread(self) -> bool:
        """Whether a column says which rows were not read."""
        return self.incremental is not None and self.incremental.slot is None
