"""The key `source.avro` of a stream whose messages have values in Avro: where their schema is.

Not here: how values are decoded (`sources.kafka.avro`).
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from sessions_platform.contracts.http_source import Auth, HttpUrl
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import invalid


class AvroValues(Model):
    """One schema for all values, in a file; or a registry, which has the schema that each value names."""

    schema_file: Path | None = Field(None, description="A file with the schema, as the producer wrote by it.")
    registry: HttpUrl | None = Field(
        None, description="A schema registry with Confluent's interface; a value begins with 0 and its schema's id."
    )
    auth: Auth | None = Field(None, description="With registry: how it knows who asks.")
    on_unknown: Literal["fail", "reject"] = Field(
        "fail",
        description="With registry: whether a run fails where a value names a schema that it doesn't have, or such "
        "values are rejected.",
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.schema_file is None) == (self.registry is None):
            raise invalid("it needs either schema_file or registry", "write {registry: https://…}")
        if self.auth is not None and self.registry is None:
            raise invalid("auth belongs to registry", "remove it")
        return self
