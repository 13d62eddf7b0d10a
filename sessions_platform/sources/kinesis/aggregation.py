"""Records that the Kinesis Producer Library has packed into one.

The form is that of its aggregation format: a magic number, a protobuf message, and its MD5. The message has a table of
partition keys (field 1) and records (field 3), each with the number of its key (1) and its data (3).
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

_MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST_BYTES = 16
_VARINT, _SIZED = 0, 2


class UserRecord(NamedTuple):
    """What a producer has sent."""

    partition_key: str
    data: bytes


def user_records(partition_key: str, data: bytes) -> list[UserRecord]:
    """The records in a record: itself, if it is not an aggregated one, whole and with its own digest."""
    message, digest = data[len(_MAGIC) : -_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if data.startswith(_MAGIC) and hashlib.md5(message, usedforsecurity=False).digest() == digest:
        try:
            return list(_unpacked(message))
        except (IndexError, ValueError):
            pass  # no message of this kind: it stays as it came
    return [UserRecord(partition_key, data)]


def _unpacked(message: bytes) -> Iterator[UserRecord]:
    fields = list(_fields(message))
    keys = [value.decode() for number, value in fields if number == 1 and isinstance(value, bytes)]
    for number, value in fields:
        if number == 3 and isinstance(value, bytes):
            record = dict(_fields(value))
            key, data = record.get(1), record.get(3)
            if not isinstance(key, int) or not isinstance(data, bytes):
                raise ValueError("a record without a key or without data")
            yield UserRecord(keys[key], data)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message, by number. Raises IndexError or ValueError where it is none."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        if tag & 7 == _SIZED:
            if at + value > len(message):
                raise ValueError("a field is cut off")
            yield tag >> 3, message[at : at + value]
            at += value
        elif tag & 7 == _VARINT:
            yield tag >> 3, value
        else:
            raise ValueError("a field of another type")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, its lowest seven bits first, and where the next one begins."""
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
