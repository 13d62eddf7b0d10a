"""What every source states that is a table of a database: where it is, who may read it, how a cursor finds new rows.

Not here: the keys of one type of database (`postgres_source`, `mysql_source`), and how rows are read
(`sources.tables`).
"""

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from sessions_platform.contracts.model import Model
from sessions_platform.contracts.secrets import Secret, TextOrSecret, shown_text
from sessions_platform.contracts.server_source import ServerSource
from sessions_platform.contracts.values import Lag, invalid

_WHAT_LAG_IS = (
    "write how far behind a row may become visible after its cursor value was taken, as in lag: 15m, or as a number "
    "where the cursor is one; what becomes visible later than that is not read"
)


class CursorIncremental(Model):
    """How the rows are found that are new since the last run: by a cursor column."""

    cursor: str | None = Field(
        None, description="A column that only rises, as updated_at or a serial id; equal values are safe."
    )
    key: str | None = Field(None, description="With cursor: the unique column that orders rows of one cursor value.")
    lag: Lag | None = Field(
        None,
        description="With cursor: how far before the last cursor value rows are read again, for those that were "
        "committed late: a duration, or a number where the cursor is one.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        self._check_way()
        if self.cursor is None and (self.key is not None or self.lag is not None):
            raise invalid("key and lag belong to cursor", "remove them")
        if self.cursor is not None and self.key is None:
            raise invalid("cursor needs key", "name the unique column that orders rows of one cursor value, as id")
        if self.cursor is not None and self.lag is None:
            raise invalid("cursor needs lag", _WHAT_LAG_IS)
        return self

    def _check_way(self) -> None:
        """Refuse what states no way; a subclass that has further ones says which."""
        if self.cursor is None:
            raise invalid("it needs cursor, key and lag", "write {cursor: updated_at, key: id, lag: 15m}")

    @property
    def lag_of_time(self) -> timedelta | None:
        """The lag where it is a duration."""
        return self.lag if isinstance(self.lag, timedelta) else None


class TableSource(ServerSource):
    """The keys of every table. A subclass adds `type`, `table`, `incremental` and a default of `port`."""

    host: TextOrSecret = Field(description="The server's name, or {env: NAME}; or the path of its socket.")
    port: int = Field(ge=1, le=65535)
    database: str = Field(min_length=1)
    user: TextOrSecret = Field(description="A role that may select from the table, or {env: NAME}.")
    password: Secret | None = Field(None, description="{env: NAME}: the environment variable that has it.")
    sslrootcert: Path | None = Field(None, description="The certificate authority of the server's certificate.")
    table: str = Field(min_length=1)

    @property
    def about(self) -> dict[str, str]:
        """Its host, database and table."""
        return {"host": f"{shown_text(self.host)}:{self.port}", "database": self.database, "table": self.table}

    @property
    def noun(self) -> str:
        """What people call one of the things that it has."""
        return "row"

    @property
    def place(self) -> str:
        """Where it is, for people; without secrets."""
        return f"{self.kind}://{shown_text(self.host)}:{self.port}/{self.database}/{self.table}"
