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
from typing import Any

import msgspec
import polars as pl

from sessions_platform.scanner.library import scanner
from sessions_platform.sources.kafka.columns import Columns
from sessions_platform.sources.messages import MIN_RECORDS

_text = msgspec.json.Encoder().encode
_NO_TIME = 0  # confluent_kafka.TIMESTAMP_NOT_AVAILABLE


def envelopes(columns: Columns, beginning: bytes, said: Sequence[bytes] | None) -> Sequence[bytes] | pl.Series:
    """The JSON objects of the messages of a partition, as a list, or as a column (Binary).

    Where no message has headers, or no value, in a fraction of the time.

    Args:
        columns: of one message or more.
        beginning: as `beginning_of` their partition.
        said: further members of each, if any has some.
    """
    offsets = columns.offsets()
    may_be_plain = said is None and not any(columns.headers) and all(columns.kinds) and not columns.has_tombstone
    if may_be_plain and len(columns) >= MIN_RECORDS and (library := scanner()):
        plain = library.envelopes(beginning, offsets, columns.times, columns.keys)
        if plain is not None:
            return plain
    of_messages = zip(offsets, columns.kinds, columns.times, columns.keys, columns.headers, columns.values, strict=True)
    return [envelope(beginning, *one, said=more) for one, more in zip(of_messages, said or repeat(b""), strict=False)]


def envelope(
    beginning: bytes,
    offset: int,
    kind: int,
    time: int,
    key: bytes | None,
    headers: Any,
    value: bytes | None,
    said: bytes = b"",
) -> bytes:
    """The JSON object of a message; `beginning` is that of its partition, and `said` further members."""
    moment = b"null" if kind == _NO_TIME else b"%d" % time
    more = b',"headers":{%b}' % b",".join(starmap(_pair, headers)) if headers else b""
    more += said
    if value is None:
        more += b',"value":null'
    return b'%b%d,"timestamp":%b,"key":%b%b}' % (beginning, offset, moment, _json(key), more)


def moment_of(kind: int, time: int) -> datetime | None:
    """The time that Kafka says of a message; None if it says none that a calendar has."""
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
