"""Compressed files, unfolded in pieces, so that no file takes more memory than its block."""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import zstandard

from sessions_platform.sources.unreadable import Unreadable

_WIDEST_ZSTD_WINDOW = 128 * 1024 * 1024  # a frame may ask for 2 GiB; the zstd program refuses more than this too


@dataclass(frozen=True)
class Packing:
    """A compression, by the bytes that its files begin with.

    What `piece_bytes` can unfold to bounds the memory that a bomb takes: 32 MiB at most.
    """

    name: str
    magic: re.Pattern[bytes]
    piece_bytes: int
    begin: Callable[[], Any]
    unpack: Callable[[Any, bytes], Iterable[bytes]]


def packing_of(start: bytes) -> Packing | None:
    """How a file that begins like this is compressed; its first bytes tell, not its name."""
    return next((packing for packing in _PACKINGS if packing.magic.match(start)), None)


def unpacked(pieces: Iterable[bytes], packing: Packing, most_bytes: int) -> Iterator[bytes]:
    """The text of all members or frames. Zeros may pad the file after each of them.

    Raises Unreadable where it is broken, cut off, or more than `most_bytes`; all text before was given.
    """
    room = most_bytes
    for text in _unpacked(pieces, packing):
        yield text[:room]
        room -= len(text)
        if room < 0:
            raise Unreadable(f"it unpacks to more than max_unpacked, {most_bytes} bytes")


def _unpacked(pieces: Iterable[bytes], packing: Packing) -> Iterator[bytes]:
    member = None
    for piece in pieces:
        rest = piece
        while rest := rest if member else rest.lstrip(b"\0"):
            member = member or packing.begin()
            try:
                yield from packing.unpack(member, rest)
            except (zlib.error, zstandard.ZstdError) as error:
                raise Unreadable(f"the rest of the file is no {packing.name} data: {error}") from None
            rest, member = (member.unused_data, None) if member.eof else (b"", member)
    if member:
        raise Unreadable(f"the file ends in the middle of its {packing.name} data")


def _inflated(member: Any, piece: bytes) -> Iterator[bytes]:
    """All that a piece holds: where it is broken, up to the broken byte, which raises zlib.error."""
    before = member.copy()
    try:
        yield member.decompress(piece)
    except zlib.error:
        for at in range(len(piece)):
            yield before.decompress(piece[at : at + 1])


_PACKINGS = (
    Packing("gzip", re.compile(rb"\x1f\x8b"), 8192, lambda: zlib.decompressobj(wbits=31), _inflated),
    Packing(
        "zstd",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        1024,
        lambda: zstandard.ZstdDecompressor(max_window_size=_WIDEST_ZSTD_WINDOW).decompressobj(),
        lambda frame, piece: [frame.decompress(piece)],
    ),
)
