"""What Kafka says of a message besides its value, as JSON: its place, time, key and headers.

It is the `header` of the message's raw row, so that columns are read from it as from any envelope: ``^key``,
``^headers.trace``, ``^timestamp`` (milliseconds), ``^partition``, ``^offset``. A header that occurs twice is in it
twice.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import repeat, starmap

import msgspec
import polars as pl

from sessions_platform.scanner.library import scanner
from sessions_platform.sources.kafka.messages import Message
from sessions_platform.sources.messages import MIN_RECORDS

_text = msgspec.json.Encoder().encode
_NEVER = -(2**63)
_NO_TIME = 0  # confluent_kafka.TIMESTAMP_NOT_AVAILABLE


def envelope(message: Message, beginning: bytes, said: bytes = b"") -> bytes:
    """The JSON object of a message; `beginning` is that of its partition, and `said` further members."""
    kind, time = message.timestamp()
    moment = b"null" if kind == _NO_TIME else b"%d" % time
    headers = message.headers()
    more = b',"headers":{%b}' % b",".join(starmap(_pair, headers)) if headers else b""
    more += said
    if message.value() is None:
        more += b',"value":null'
    return b'%b%d,"timestamp":%b,"key":%b%b}' % (beginning, message.offset(), moment, _json(message.key()), more)


def envelopes(
    messages: Sequence[Message], values: Sequence[bytes | None], beginning: bytes, said: Sequence[bytes] | None
) -> Sequence[bytes] | pl.Series:
    """The JSON objects of the messages of a partition, as a list, or as a column (Binary).

    Where no message has headers, or no value, in a fraction of the time.

    Args:
        messages: one or more.
        values: of each.
        beginning: as `beginning_of` their partition.
        said: further members of each, if any has some.
    """
    if said is not None or any(message.headers() for message in messages):
        return [
            envelope(message, beginning, more) for message, more in zip(messages, said or repeat(b""), strict=False)
        ]
    # Pairs that are let go at once: as many as messages, kept, set off the garbage collector.
    times = [_NEVER if kind == _NO_TIME else time for kind, time in (message.timestamp() for message in messages)]
    if _NEVER in times or None in values:
        return [envelope(message, beginning) for message in messages]
    keys = [message.key() for message in messages]
    offsets = offsets_of(messages)
    if (library := scanner()) and len(messages) >= MIN_RECORDS:
        plain = library.envelopes(beginning, offsets, times, keys)
        if plain is not None:
            return plain
    return [
        b'%b%d,"timestamp":%d,"key":%b}' % (beginning, offset, time, _json(key))
        for offset, time, key in zip(offsets, times, keys, strict=True)
    ]


def offsets_of(messages: Sequence[Message], since: int = 0) -> Sequence[int]:
    """The offset of each message of a partition, in its order, less a number."""
    first, last = messages[0].offset() or 0, messages[-1].offset() or 0
    if last - first == len(messages) - 1:  # as nearly always: offsets rise, so that none is left out
        return range(first - since, last - since + 1)
    return [(message.offset() or 0) - since for message in messages]


def moment_of(message: Message) -> datetime | None:
    """The time that Kafka says of a message; None if it says none that a calendar has."""
    kind, time = message.timestamp()
    try:
        return None if kind == _NO_TIME else datetime.fromtimestamp(time / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def beginning_of(topic: str, partition: int) -> bytes:
    """How the envelopes of a partition's messages begin."""
    return b'{"topic":%b,"partition":%d,"offset":' % (_text(topic), partition)


# Keys and headers recur.
@lru_cache(maxsize=10_000)
def _pair(name: str, value: bytes | None) -> bytes:
    return b"%b:%b" % (_text(name), _json(value))


@lru_cache(maxsize=10_000)
def _json(value: bytes | str | None) -> bytes:
    """Text as it is; other bytes as an object, whose `base64` they are."""
    if value is None or isinstance(value, str):
        return _text(value)
    try:
        return _text(value.decode())
    except UnicodeDecodeError:
        return _text({"base64": base64.b64encode(value).decode()})
