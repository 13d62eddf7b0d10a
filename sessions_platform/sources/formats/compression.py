"""Compressed files, unfolded in pieces, so that no file takes more memory than its block."""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import zstandard
from isal import isal_zlib

from sessions_platform.sources.formats.base import CorruptDataError

_WIDEST_ZSTD_WINDOW = 128 * 1024 * 1024  # a frame may ask for 2 GiB; the zstd program refuses more than this too
_INFLATED_AT_ONCE = 1024 * 1024
_ERRORS: tuple[Any, ...] = (zlib.error, isal_zlib.IsalError, zstandard.ZstdError)  # isal's stub has no type of it


@dataclass(frozen=True)
class Way:
    """How the members of a compressed file are unfolded, from pieces of so many bytes.

    No piece unfolds to more than 32 MiB at once, which bounds the memory that a bomb takes.
    """

    piece_bytes: int
    begin: Callable[[], Any]
    unpack: Callable[[Any, bytes], Iterable[bytes]]


@dataclass(frozen=True)
class Packing:
    """A compression, by the bytes that its files begin with.

    `ways` are tried in turn. The last one has the say on whether a file can be read, and gives all that
    stands before a broken byte; those before it may be quicker, and stop anywhere.
    """

    name: str
    magic: re.Pattern[bytes]
    ways: tuple[Way, ...]


def codec_of(start: bytes) -> Packing | None:
    """How a file that begins like this is compressed; its first bytes tell, not its name."""
    return next((codec for codec in _PACKINGS if codec.magic.match(start)), None)


def decompressed(pieces: Callable[[int], Iterable[bytes]], codec: Packing, most_bytes: int) -> Iterator[bytes]:
    """The text of all members or frames. Zeros may pad the file after each of them.

    `pieces` gives the file from its beginning, in pieces of the size asked for, whenever it is called.
    Raises Unreadable where the file is broken, cut off, or more than `most_bytes`; all text before was given.
    """
    room = most_bytes
    for text in _text(pieces, codec):
        yield text[:room]
        room -= len(text)
        if room < 0:
            raise CorruptDataError(f"it unpacks to more than max_unpacked, {most_bytes} bytes")


def _text(pieces: Callable[[int], Iterable[bytes]], codec: Packing) -> Iterator[bytes]:
    given = 0
    for way in codec.ways:
        try:
            for text in _beyond(given, _members(pieces(way.piece_bytes), way, codec.name)):
                given += len(text)
                yield text
            return
        except CorruptDataError:
            if way is codec.ways[-1]:
                raise


def _beyond(given: int, texts: Iterable[bytes]) -> Iterator[bytes]:
    """What follows so many bytes of a text."""
    for text in texts:
        if rest := text[given:]:
            yield rest
        given = max(0, given - len(text))


def _members(pieces: Iterable[bytes], way: Way, name: str) -> Iterator[bytes]:
    member = None
    for piece in pieces:
        rest = piece
        while rest := rest if member else rest.lstrip(b"\0"):
            member = member or way.begin()
            try:
                yield from way.unpack(member, rest)
            except _ERRORS as error:
                raise CorruptDataError(f"the rest of the file is no {name} data: {error}") from None
            rest, member = (member.unused_data, None) if member.eof else (b"", member)
    if member:
        raise CorruptDataError(f"the file ends in the middle of its {name} data")


def _inflated_quickly(member: Any, piece: bytes) -> Iterator[bytes]:
    """By ISA-L, in half the time that zlib takes. Where a piece is broken, what stands before that is not given."""
    while piece and not member.eof:
        yield member.decompress(piece, _INFLATED_AT_ONCE)
        piece = member.unconsumed_tail


def _inflated(member: Any, piece: bytes) -> Iterator[bytes]:
    """All that a piece holds: where it is broken, up to the broken byte, which raises zlib.error."""
    before = member.copy()
    try:
        yield member.decompress(piece)
    except zlib.error:
        for at in range(len(piece)):
            yield before.decompress(piece[at : at + 1])


_PACKINGS = (
    Packing(
        "gzip",
        re.compile(rb"\x1f\x8b"),
        (
            Way(256 * 1024, lambda: isal_zlib.decompressobj(wbits=31), _inflated_quickly),
            Way(8192, lambda: zlib.decompressobj(wbits=31), _inflated),
        ),
    ),
    Packing(
        "zstd",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        (
            Way(
                1024,
                lambda: zstandard.ZstdDecompressor(max_window_size=_WIDEST_ZSTD_WINDOW).decompressobj(),
                lambda frame, piece: [frame.decompress(piece)],
            ),
        ),
    ),
)
