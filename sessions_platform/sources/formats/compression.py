"""Compressed files, decompressed in chunks, so that no file takes more memory than its block.

Here a file is read up to the byte that is broken. isal's threaded reader, which xopen uses too, loses the text before
it: of a file of 360 KB with a wrong checksum it returned nothing. Not here: how text becomes records (`ndjson`, `csv`).
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import zstandard
from isal import isal_zlib

from sessions_platform.sources.formats.errors import CorruptDataError

_WIDEST_ZSTD_WINDOW = 128 * 1024 * 1024  # a frame may ask for 2 GiB; the zstd program has the same limit
_INFLATED_AT_ONCE = 1024 * 1024
_ERRORS: tuple[Any, ...] = (zlib.error, isal_zlib.IsalError, zstandard.ZstdError)  # isal's stub has no type of it


@dataclass(frozen=True)
class Decompressor:
    """How the members (gzip) or frames (zstd) of a compressed file are decompressed.

    Attributes:
        chunk_bytes: the size of the compressed chunks that it takes.
        begin: makes the state for one member.
        decompress: the text of one more chunk of the member. No more than 32 MiB at once, which bounds the
            memory that a decompression bomb takes.
    """

    chunk_bytes: int
    begin: Callable[[], Any]
    decompress: Callable[[Any, bytes], Iterable[bytes]]


@dataclass(frozen=True)
class Codec:
    """A compression, recognized by the bytes that its files begin with.

    `decompressors` are tried in turn. The last one decides whether a file can be read, and returns all that
    precedes a broken byte; those before it may be quicker, and may stop anywhere.
    """

    name: str
    magic: re.Pattern[bytes]
    decompressors: tuple[Decompressor, ...]


def codec_of(start: bytes) -> Codec | None:
    """How a file that begins with these bytes, four at least, is compressed; None if it isn't."""
    return next((codec for codec in _CODECS if codec.magic.match(start)), None)


def decompressed(chunks: Callable[[int], Iterable[bytes]], codec: Codec, most_bytes: int) -> Iterator[bytes]:
    """The text of all members or frames. Zeros may pad the file after each of them.

    Args:
        chunks: returns the file from its beginning, in chunks of the size asked for, whenever it is called.
        codec: the file's.
        most_bytes: how much text is returned at most.

    Raises:
        CorruptDataError: the file is broken, cut off, or more than `most_bytes`; all text before was returned.
    """
    remaining = most_bytes
    for text in _text(chunks, codec):
        yield text[:remaining]
        remaining -= len(text)
        if remaining < 0:
            raise CorruptDataError(f"it unpacks to more than max_unpacked, {most_bytes} bytes")


def _text(chunks: Callable[[int], Iterable[bytes]], codec: Codec) -> Iterator[bytes]:
    returned = 0
    for decompressor in codec.decompressors:
        try:
            for text in _after(returned, _members(chunks(decompressor.chunk_bytes), decompressor, codec.name)):
                returned += len(text)
                yield text
            return
        except CorruptDataError:
            if decompressor is codec.decompressors[-1]:
                raise


def _after(offset: int, texts: Iterable[bytes]) -> Iterator[bytes]:
    """The text from this offset on."""
    for text in texts:
        if rest := text[offset:]:
            yield rest
        offset = max(0, offset - len(text))


def _members(chunks: Iterable[bytes], decompressor: Decompressor, name: str) -> Iterator[bytes]:
    member = None
    for chunk in chunks:
        rest = chunk
        while rest := rest if member else rest.lstrip(b"\0"):
            member = member or decompressor.begin()
            try:
                yield from decompressor.decompress(member, rest)
            except _ERRORS as error:
                raise CorruptDataError(f"the rest of the file is no {name} data: {error}") from None
            rest, member = (member.unused_data, None) if member.eof else (b"", member)
    if member:
        raise CorruptDataError(f"the file ends in the middle of its {name} data")


def _inflated_quickly(member: Any, chunk: bytes) -> Iterator[bytes]:
    """By ISA-L, in half the time that zlib takes. Where a chunk is broken, all of it is lost."""
    while chunk and not member.eof:
        yield member.decompress(chunk, _INFLATED_AT_ONCE)
        chunk = member.unconsumed_tail


def _inflated(member: Any, chunk: bytes) -> Iterator[bytes]:
    """All of a chunk; where it is broken, all up to the broken byte, which raises zlib.error.

    zlib returns nothing of a chunk that is broken, so a copy of the state before it takes it byte by byte.
    """
    before = member.copy()
    try:
        yield member.decompress(chunk)
    except zlib.error:
        for at in range(len(chunk)):
            yield before.decompress(chunk[at : at + 1])


_CODECS = (
    Codec(
        "gzip",
        re.compile(rb"\x1f\x8b"),
        (
            Decompressor(256 * 1024, lambda: isal_zlib.decompressobj(wbits=31), _inflated_quickly),
            Decompressor(8192, lambda: zlib.decompressobj(wbits=31), _inflated),
        ),
    ),
    Codec(
        "zstd",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        (
            Decompressor(
                1024,
                lambda: zstandard.ZstdDecompressor(max_window_size=_WIDEST_ZSTD_WINDOW).decompressobj(),
                lambda frame, chunk: [frame.decompress(chunk)],
            ),
        ),
    ),
)
