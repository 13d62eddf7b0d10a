"""What every source states whose records are messages: one value each, in an envelope, and kept for a while only.

Not here: the keys of one type of it (`kafka_source`, `kinesis_source`).
"""

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from sessions_platform.contracts.formats import Format, listed
from sessions_platform.contracts.server_source import ServerSource
from sessions_platform.contracts.values import invalid, shown

_FORMATS = ("ndjson", "csv", "regex", "logfmt", "query")


class MessageSource(ServerSource):
    """The keys of every source of messages. A subclass adds `type`, its own keys, and `place`."""

    has_envelope: ClassVar[bool] = True

    format: Format = Field(
        "ndjson", description="Of a message's value. ndjson: a JSON object; csv, regex, logfmt, query: a text."
    )
    on_lost: Literal["fail", "resume_at_earliest"] = Field(
        "fail",
        description="Where messages are gone that were not read, because they were kept for too short a time, or the "
        "topic or stream was made anew: whether the run fails, or says so and goes on with the first one there is.",
    )

    @field_validator("format")
    @classmethod
    def _is_read_by_source(cls, name: str) -> str:
        if name not in _FORMATS:
            raise invalid(f"{shown(name)} is no format of messages", f"write {listed(list(_FORMATS))}")
        return name

    @field_validator("events")
    @classmethod
    def _one_event_each(cls, events: str | None) -> str | None:
        if events is not None:
            raise invalid("events is for files: a message is one event", "remove it")
        return events

    @model_validator(mode="after")
    def _fields_are_named(self) -> Self:
        if self.format == "csv" and self.header is True:
            raise invalid("a message has no header", "list the names of its fields in header")
        return self
