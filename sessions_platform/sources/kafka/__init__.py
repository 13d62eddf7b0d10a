"""Kafka topics as a source: which messages are new (`offsets`), reading them to a bound (`log`), over one `cluster`.

Needs the extra `kafka`.
"""

from sessions_platform.errors import MissingExtraError

try:
    import confluent_kafka  # noqa: F401
except ModuleNotFoundError:
    raise MissingExtraError("confluent-kafka", "kafka") from None
