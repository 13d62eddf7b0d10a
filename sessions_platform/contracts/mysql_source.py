"""The `source` key of a stream whose events are the rows of a MySQL or MariaDB table.

Not here: how rows are read (`sources.mysql`).
"""

from typing import ClassVar, Literal

from pydantic import Field

from sessions_platform.contracts.table_source import CursorIncremental, TableSource


class MysqlSource(TableSource):
    """The rows of a table, as the JSON that the server makes of them."""

    implementation: ClassVar[str] = "sessions_platform.sources.mysql.source:MysqlTable.open"

    type: Literal["mysql"] = Field(description="The rows of a MySQL or MariaDB table.")
    port: int = Field(3306, ge=1, le=65535)
    sslmode: Literal["disable", "prefer", "verify-full"] = Field(
        "prefer", description="Whether the connection is encrypted; verify-full to be sure of the server."
    )
    table: str = Field(min_length=1, description="A table or view of the database.")
    incremental: CursorIncremental | None = Field(
        None, description="How new rows are found; without it the table is read as a whole whenever it has changed."
    )

    @property
    def says_times(self) -> bool:
        """Whether the cursor is one."""
        return self.incremental is not None and self.incremental.lag_of_time is not None

    @property
    def counts_unread(self) -> bool:
        """Whether a cursor says which rows were not read."""
        return self.incremental is not None
