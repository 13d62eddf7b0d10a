"""Records packed into one as the Kinesis Producer Library does it."""

import hashlib
from collections.abc import Iterable


def aggregated(records: Iterable[tuple[str, bytes]]) -> bytes:
    """One record with these partition keys and data in it."""
    pairs = list(records)
    keys = sorted({key for key, _ in pairs})
    message = b"".join(_sized(1, key.encode()) for key in keys)
    for key, data in pairs:
        message += _sized(3, b"\x08" + _varint(keys.index(key)) + _sized(3, data))
    return b"\xf3\x89\x9a\xc2" + message + hashlib.md5(message, usedforsecurity=False).digest()


def _sized(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
