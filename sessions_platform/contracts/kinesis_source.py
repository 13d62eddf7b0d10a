"""The `source` key of a stream whose events are the records of a Kinesis data stream.

Not here: how records are read (`sources.kinesis`).
"""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from sessions_platform.contracts.http_source import HttpUrl
from sessions_platform.contracts.message_source import MessageSource
from sessions_platform.contracts.secrets import Secret, TextOrSecret
from sessions_platform.contracts.values import invalid


class KinesisSource(MessageSource):
    """The records of a data stream, each as its own bytes; those that the KPL has packed into one, too."""

    implementation: ClassVar[str] = "sessions_platform.sources.kinesis.source:KinesisStream.open"

    type: Literal["kinesis"] = Field(description="The records of a Kinesis data stream.")
    stream: str = Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$", description="The data stream's name.")
    region: str = Field(pattern=r"^[a-z0-9-]+$", description="The AWS region, as in eu-west-1.")
    endpoint_url: HttpUrl | None = Field(None, description="Of a service other than AWS's own, or of a VPC endpoint.")
    access_key_id: TextOrSecret | None = Field(
        None, description="By default the credentials are found where AWS's tools look for them."
    )
    secret_access_key: Secret | None = Field(None, description="{env: NAME}, with access_key_id.")

    @model_validator(mode="after")
    def _credentials_are_whole(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise invalid("access_key_id and secret_access_key belong together", "state both, or neither")
        return self

    @property
    def says_times(self) -> bool:
        """True: each message has one."""
        return True

    @property
    def place_of_record(self) -> list[str]:
        """Shard, sequence number, and the number within a packed record."""
        return ["^shard", "^sequence_number", "^sub_sequence_number"]

    @property
    def about(self) -> dict[str, str]:
        """Its region and data stream."""
        return {"region": self.region, "data_stream": self.stream}

    @property
    def place(self) -> str:
        """Where it is, for people; without secrets."""
        return f"kinesis://{self.region}/{self.stream}"
