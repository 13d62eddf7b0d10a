"""What an error of the client or of a broker means: whether it may pass, and what the fix is.

Errors are told by the names that librdkafka gives them; those of its own begin with an underscore.
"""

from confluent_kafka import KafkaError

from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError

_CREDENTIALS = "correct source.settings, and the environment variable of the password"
_FIXES = {
    "_AUTHENTICATION": _CREDENTIALS,
    "SASL_AUTHENTICATION_FAILED": _CREDENTIALS,
    "UNSUPPORTED_SASL_MECHANISM": "correct sasl.mechanism in source.settings",
    "_SSL": "correct ssl.ca.location in source.settings, or the broker's certificate",
    "UNKNOWN_TOPIC_OR_PART": "correct source.topic, or create the topic",
    "_UNKNOWN_TOPIC": "correct source.topic, or create the topic",
    "TOPIC_AUTHORIZATION_FAILED": "grant READ and DESCRIBE on the topic to the stream's user",
    "CLUSTER_AUTHORIZATION_FAILED": "grant READ and DESCRIBE on the topic to the stream's user",
    "GROUP_AUTHORIZATION_FAILED": "set group.id in source.settings to a group that the user may read",
    "_INVALID_ARG": "correct source.settings",
    "_NOT_IMPLEMENTED": "correct source.settings",
}
ALL_BROKERS_DOWN, PARTITION_EOF, OUT_OF_RANGE = "_ALL_BROKERS_DOWN", "_PARTITION_EOF", "_AUTO_OFFSET_RESET"
# Of connections, and of leaders that change: the protocol calls them retriable, the client says so of some only.
MAY_PASS = (
    "_TRANSPORT",
    ALL_BROKERS_DOWN,
    "_RESOLVE",
    "_TIMED_OUT",
    "_UNKNOWN_PARTITION",
    "NOT_LEADER_FOR_PARTITION",
    "LEADER_NOT_AVAILABLE",
    "REPLICA_NOT_AVAILABLE",
    "BROKER_NOT_AVAILABLE",
    "NOT_CONTROLLER",
    "NETWORK_EXCEPTION",
    "REQUEST_TIMED_OUT",
    "KAFKA_STORAGE_ERROR",
    "FENCED_LEADER_EPOCH",
    "UNKNOWN_LEADER_EPOCH",
    "COORDINATOR_LOAD_IN_PROGRESS",
    "COORDINATOR_NOT_AVAILABLE",
    "OFFSET_NOT_AVAILABLE",
)


def may_pass(error: KafkaError) -> bool:
    """Whether it is worth trying again."""
    return error.name() in MAY_PASS or (error.retriable() and error.name() not in _FIXES)


def explained(place: str, error: KafkaError) -> Exception | None:
    """The error as a sentence; None where the client tries again by itself."""
    return None if may_pass(error) else refused(place, error)


def refused(place: str, error: KafkaError) -> SourceRefusedError:
    """An error that does not pass by itself, as a sentence with its fix."""
    fix = _FIXES.get(error.name(), "see the broker's log")
    return SourceRefusedError(f"{place}: {said(error)}. Fix: {fix}.")


def unavailable(place: str, error: KafkaError) -> SourceUnavailableError:
    """An error that may pass."""
    return SourceUnavailableError(f"{place} can't be read: {said(error)}")


def said(error: KafkaError) -> str:
    """What the client says, in a line."""
    return " ".join(error.str().split()).rstrip(".")
