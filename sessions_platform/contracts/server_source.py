"""What every source states that is a server and no files: its records are JSON, and when it is asked for new ones.

Not here: the keys of one type of server (`postgres_source`, `http_source`), and how records are read
(`sources.server`).
"""

from datetime import timedelta
from typing import Self

from pydantic import Field, field_validator, model_validator

from sessions_platform.contracts.formats import Format
from sessions_platform.contracts.give_up import GivesUp
from sessions_platform.contracts.model import Model, no_keys
from sessions_platform.contracts.source_config import SourceConfig
from sessions_platform.contracts.values import PositiveDuration, invalid, shown


class Poll(Model):
    """When the sensor `new_records` looks for new records, and starts a run if there are any."""

    every: PositiveDuration = Field(
        timedelta(minutes=1), description="How long after the last look.", json_schema_extra={"default": "1m"}
    )
    unread: int | None = Field(None, ge=1, description="Or sooner, once so many records have not been read.")


class ServerSource(SourceConfig, GivesUp):
    """The keys of every server. A subclass adds `type`, which is also its `kind`, its own keys, and `place`.

    One whose records are not only JSON states its own `format`, with a validator of the same name.
    """

    format: Format = Field("ndjson", description="ndjson: records are JSON.")
    poll: Poll = Field(
        default_factory=no_keys, validate_default=True, description="When the sensor looks for new records."
    )

    @field_validator("format")
    @classmethod
    def _is_read_by_source(cls, name: str) -> str:
        if name != "ndjson":
            raise invalid(f"{shown(name)} is no format of this server's records", "remove it: they are read as ndjson")
        return name

    @model_validator(mode="after")
    def _unread_is_told(self) -> Self:
        if self.poll.unread is not None and not self.counts_unread:
            raise invalid(
                f"how many records are unread is not known: {self.no_count}", "remove unread, and state every"
            )
        return self

    @property
    def no_past(self) -> str:
        """As of every source."""
        return "" if self.says_times else "it has no time by which records can be asked for"

    @property
    def counts_unread(self) -> bool:
        """Whether it can be said, without reading them, how many records have not been read."""
        return False

    @property
    def no_count(self) -> str:
        """Why it is not known how many records have not been read; empty where it is."""
        return "" if self.counts_unread else "the source does not say how many there are"

    @property
    def kind(self) -> str:
        """What the UI shows it as: its type."""
        return getattr(self, "type", self.format)
