"""The `source` key of a stream whose events are the messages of a Kafka topic.

Not here: how messages are read (`sources.kafka`).
"""

import re
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from sessions_platform.contracts.avro_values import AvroValues
from sessions_platform.contracts.message_source import MessageSource
from sessions_platform.contracts.secrets import FromEnvironment, TextOrSecret, shown_text
from sessions_platform.contracts.values import invalid

# Properties of librdkafka that decide what is read; exactly-once rests on them.
FIXED = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
}
_OWN_KEYS = {"bootstrap.servers": "bootstrap_servers", "metadata.broker.list": "bootstrap_servers"}
_SECRET = re.compile(r"password|secret|\.key\.pem$|oauthbearer\.config$")


def _setting(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | dict | FromEnvironment) else str(value)


Setting = Annotated[bool | int | float | str | FromEnvironment, BeforeValidator(_setting)]


class KafkaSource(MessageSource):
    """The messages of a topic, each value as its own bytes."""

    implementation: ClassVar[str] = "sessions_platform.sources.kafka.source:KafkaTopic.open"

    type: Literal["kafka"] = Field(description="The messages of a Kafka topic.")
    bootstrap_servers: TextOrSecret = Field(description="HOST:PORT of some brokers, between commas, or {env: NAME}.")
    topic: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$", description="The topic's name.")
    settings: dict[str, Setting] = Field(
        default_factory=dict,
        description="Properties of librdkafka, as security.protocol and sasl.username; what is secret as {env: NAME}.",
    )

    avro: AvroValues | None = Field(None, description="Where values are Avro: what their schema is.")

    @field_validator("settings")
    @classmethod
    def _settings_are_whole(cls, settings: dict[str, Setting]) -> dict[str, Setting]:
        for name, value in settings.items():
            if name in FIXED:
                raise invalid(f"{name} is not to be set: exactly-once rests on it", "remove it")
            if name in _OWN_KEYS:
                raise invalid(f"{name} is a key of source", f"write {_OWN_KEYS[name]}")
            if _SECRET.search(name) and not isinstance(value, FromEnvironment):
                # The message must not quote what may be a password.
                raise invalid(f"{name} can't stand in the file", "name an environment variable, as in {env: NAME}")
        return settings

    @property
    def counts_unread(self) -> bool:
        """True: offsets say it."""
        return True

    @property
    def place_of_record(self) -> list[str]:
        """Partition and offset."""
        return ["^partition", "^offset"]

    @property
    def says_times(self) -> bool:
        """True: each message has one."""
        return True

    @property
    def about(self) -> dict[str, str]:
        """Its brokers and topic."""
        return {"bootstrap_servers": shown_text(self.bootstrap_servers), "topic": self.topic}

    @model_validator(mode="after")
    def _avro_becomes_json(self) -> Self:
        if self.avro is not None and self.format != "ndjson":
            raise invalid("values in Avro become JSON", "remove format, or avro")
        return self

    @property
    def noun(self) -> str:
        """What people call one of the things that it has."""
        return "message"

    @property
    def place(self) -> str:
        """Where it is, for people; without secrets."""
        return f"kafka://{shown_text(self.bootstrap_servers)}/{self.topic}"
