"""The blocks of an Avro object container file (Avro 1.12, "Object Container Files").

Read here and not by a library, since none of them says where a block ends, which codec's data is cut off, or that
another file follows in the same file. How the records of a block become rows is in `rows`.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, cast

from sessions_platform.sources.formats.avro.codecs import decompressed
from sessions_platform.sources.formats.errors import CorruptDataError

_MAGIC = b"Obj\x01"
_MARKER_BYTES = 16
_LONGEST_NUMBER = 10  # of a 64-bit integer, seven bits a byte


class Block(NamedTuple):
    """The records of one block: their schema as in the file, how many rows they are, and their bytes, decompressed."""

    schema: Any
    rows: int
    records: bytes


class _Header(NamedTuple):
    schema: Any
    codec: str
    marker: bytes


class _Truncated(CorruptDataError):
    def __init__(self) -> None:
        super().__init__("the file is truncated")


def blocks(handle: BinaryIO) -> Iterator[Block]:
    """The blocks of a file, and of further files that follow it in the same file, each with a header of its own.

    A file that is cut off between two blocks is a whole one: the format has no end marker, and states no number of
    blocks.

    Raises:
        CorruptDataError: the rest of the file is no Avro.
        Exception: a header's schema or a block's compressed data can't be read.
    """
    with _opened(handle) as source:
        header = _header(source)
        while (start := source.peek(len(_MAGIC))) != b"":
            if start == _MAGIC:
                header = _header(source)
            else:
                yield _block(source, header)


@contextmanager
def _opened(handle: BinaryIO) -> Iterator["_Input"]:
    buffered: io.BufferedReader[Any] = io.BufferedReader(cast(io.RawIOBase, handle))
    try:
        yield _Input(buffered)
    finally:
        buffered.detach()  # else it would close the handle, which is not ours


def _header(source: "_Input") -> _Header:
    if source.take(min(len(_MAGIC), source.remaining())) != _MAGIC:
        raise CorruptDataError("the file is no Avro data: it does not begin with Obj and 1")
    metadata: dict[bytes, bytes] = {}
    while count := source.number():
        if count < 0:  # then the size of these entries in bytes comes first
            source.number()
        for _ in range(abs(count)):
            key = source.sized()
            metadata[key] = source.sized()
    if b"avro.schema" not in metadata:
        raise CorruptDataError("the file's header has no schema")
    codec = metadata.get(b"avro.codec", b"null").decode()
    return _Header(json.loads(metadata[b"avro.schema"]), codec, source.take(_MARKER_BYTES))


def _block(source: "_Input", header: _Header) -> Block:
    _refuse_zero_bytes(source)
    count = source.number()
    block = source.sized()
    marker = source.take(_MARKER_BYTES)
    if marker != header.marker or count < 0:
        raise CorruptDataError("the rest of the file is no Avro data: a block is not followed by the file's marker")
    return Block(header.schema, count, decompressed(header.codec, block))


def _refuse_zero_bytes(source: "_Input") -> None:
    """A file that is filled up with zero bytes has lost its rest, or was written with a fixed size: who knows?"""
    if not any(source.peek(_MARKER_BYTES)) and source.rest_is_zero():
        raise CorruptDataError(f"{source.remaining()} zero bytes follow the last block")


class _Input:
    """An open file as long as it is now, read from its beginning to its end."""

    def __init__(self, buffered: "io.BufferedReader[Any]") -> None:
        self._size = buffered.seek(0, io.SEEK_END)
        buffered.seek(0)
        self._buffered = buffered

    def remaining(self) -> int:
        return self._size - self._buffered.tell()

    def peek(self, length: int) -> bytes:
        """The next bytes, without taking them; fewer before the end."""
        found = self._buffered.read(length)
        self._buffered.seek(-len(found), io.SEEK_CUR)
        return found

    def take(self, length: int) -> bytes:
        if not 0 <= length <= self.remaining():
            raise _Truncated
        return self._buffered.read(length)

    def sized(self) -> bytes:
        """Bytes that follow their length."""
        return self.take(self.number())

    def number(self) -> int:
        """An integer in zig-zag coding, its lowest seven bits first."""
        number = 0
        for index in range(_LONGEST_NUMBER):
            (byte,) = self.take(1)
            number |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
        raise CorruptDataError("the rest of the file is no Avro data: a number has more than 64 bits")

    def rest_is_zero(self) -> bool:
        """Whether all that remains is zero; the place stays the same."""
        place = self._buffered.tell()
        chunks = iter(lambda: self._buffered.read(1 << 20), b"")
        is_zero = not any(map(any, chunks))
        self._buffered.seek(place)
        return is_zero
