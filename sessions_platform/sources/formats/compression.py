"""Compressed files, decompressed in chunks, so that no file takes more memory than its block.

Here a file is read up to the byte that is broken. isal's threaded reader, which xopen uses too, loses the text before
it: of a file of 360 KB with a wrong checksum it returned nothing. Not here: how text becomes records (`ndjson`, `csv`).
"""

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import brotli
import lz4.frame
import zstandard
from isal import isal_zlib

from sessions_platform.sources.formats.errors import CorruptDataError

_WIDEST_ZSTD_WINDOW = 128 * 1024 * 1024  # a frame may ask for 2 GiB; the zstd program has the same limit
_XZ_MEMORY = 160 * 1024 * 1024  # a dictionary of 128 MiB, and what xz needs besides; a file may ask for 1.5 GiB
_INFLATED_AT_ONCE = 1024 * 1024
# zstd's frames of metadata, which lz4 has as well (Zstandard format, RFC 8878, section 3.1.2).
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")


@dataclass(frozen=True)
class Decompressor:
    """How the members (gzip) or frames (zstd) of a compressed file are decompressed.

    Attributes:
        chunk_bytes: the size of the compressed chunks that it takes.
        begin: makes the state for one member.
        decompress: the text of one more chunk of the member. No more than 32 MiB at once, which bounds the
            memory that a decompression bomb takes.
        is_bytewise: the chunk at which the decompressor before it failed is taken byte by byte, for libraries that
            return nothing of a chunk that is broken.
    """

    chunk_bytes: int
    begin: Callable[[], Any]
    decompress: Callable[[Any, bytes], Iterable[bytes]]
    is_bytewise: bool = False


@dataclass(frozen=True)
class Codec:
    """A compression, recognized by the bytes that its files begin with.

    Attributes:
        name: as messages have it.
        magic: what its files begin with; None for brotli, whose files may begin with anything.
        suffix: of a file's name; a codec without magic is recognized by it.
        errors: what its library raises where data is broken.
        decompressors: tried in turn. The last one decides whether a file can be read, and returns all that
            precedes a broken byte; those before it may be quicker, and may stop anywhere.
        writer: opens a file of this compression on another; closing it leaves the other one open.
        has_members: whether several of its files, one after the other, are one file.
    """

    name: str
    magic: re.Pattern[bytes] | None
    suffix: str
    errors: tuple[Any, ...]
    decompressors: tuple[Decompressor, ...]
    writer: Callable[[BinaryIO], BinaryIO]
    has_members: bool = True


def codec_of(start: bytes, name: str = "") -> Codec | None:
    """How a file is compressed; None if it isn't.

    Args:
        start: what it begins with, ten bytes at least.
        name: its name, by which a compression is recognized that has no magic bytes; ignored where there are some.
    """
    begins = _without_skippable(start)
    by_magic = (codec for codec in _CODECS if codec.magic and codec.magic.match(begins))
    by_name = (codec for codec in _CODECS if not codec.magic and name.lower().endswith(codec.suffix))
    return next(by_magic, None) or next(by_name, None)


def codecs_without_magic() -> list[Codec]:
    """The compressions that only a file's name tells."""
    return [codec for codec in _CODECS if not codec.magic]


def _without_skippable(start: bytes) -> bytes:
    """From the first frame on that tells zstd from lz4; the last frame of metadata where there is none."""
    rest = start
    while _SKIPPABLE.match(rest) and (following := rest[8 + int.from_bytes(rest[4:8], "little") :]):
        rest = following
    return rest


def decompressed(
    chunks: Callable[[int], Iterable[bytes]], codec: Codec, most_bytes: int, limit: str = "max_unpacked"
) -> Iterator[bytes]:
    """The text of all members or frames. Zeros may pad the file after each of them.

    Args:
        chunks: returns the file from its beginning, in chunks of the size asked for, whenever it is called.
        codec: the file's.
        most_bytes: how much text is returned at most.
        limit: what sets that, for the message.

    Raises:
        CorruptDataError: the file is broken, cut off, or more than `most_bytes`; all text before was returned.
    """
    remaining = most_bytes
    for text in _text(chunks, codec):
        yield text[:remaining]
        remaining -= len(text)
        if remaining < 0:
            raise CorruptDataError(f"it unpacks to more than {limit}, {most_bytes} bytes")


def _text(chunks: Callable[[int], Iterable[bytes]], codec: Codec) -> Iterator[bytes]:
    returned = taken = 0
    for decompressor in codec.decompressors:
        packed = _Taken(chunks(decompressor.chunk_bytes), taken if decompressor.is_bytewise else None)
        try:
            for text in _after(returned, _members(packed, decompressor, codec)):
                returned += len(text)
                yield text
            return
        except CorruptDataError:
            if decompressor is codec.decompressors[-1]:
                raise
            taken = packed.before


class _Taken:
    """Chunks, and the offset `before` the last one that was taken; the chunk at `bytewise` is taken byte by byte."""

    def __init__(self, chunks: Iterable[bytes], bytewise: int | None) -> None:
        self.before = 0
        self._chunks, self._bytewise = chunks, bytewise

    def __iter__(self) -> Iterator[bytes]:
        offset = 0
        for chunk in self._chunks:
            self.before = offset
            if offset == self._bytewise:
                yield from (chunk[at : at + 1] for at in range(len(chunk)))
            else:
                yield chunk
            offset += len(chunk)


def _after(offset: int, texts: Iterable[bytes]) -> Iterator[bytes]:
    """The text from this offset on."""
    for text in texts:
        if rest := text[offset:]:
            yield rest
        offset = max(0, offset - len(text))


def _members(chunks: Iterable[bytes], decompressor: Decompressor, codec: Codec) -> Iterator[bytes]:
    member, ended = None, False
    for chunk in chunks:
        rest = chunk
        while rest := rest if member or not codec.has_members else rest.lstrip(b"\0"):
            if ended and not codec.has_members:
                raise CorruptDataError(f"other bytes follow the end of its {codec.name} data")
            member = member or decompressor.begin()
            try:
                yield from decompressor.decompress(member, rest)
            except codec.errors as error:
                raise CorruptDataError(f"the rest of the file is no {codec.name} data: {error}") from None
            ended = member.eof
            rest, member = (member.unused_data or b"", None) if ended else (b"", member)
    if member:
        raise CorruptDataError(f"the file ends in the middle of its {codec.name} data")


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


def _in_steps(member: Any, chunk: bytes) -> Iterator[bytes]:
    """All of a chunk by a decompressor of the standard library, or one that is alike."""
    yield member.decompress(chunk, _INFLATED_AT_ONCE)
    while not member.eof and not member.needs_input:
        yield member.decompress(b"", _INFLATED_AT_ONCE)


class _BrotliStream:
    """A brotli decompressor with the attributes of the others."""

    unused_data = b""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def eof(self) -> bool:
        return self._stream.is_finished()

    def decompress(self, chunk: bytes) -> Iterator[bytes]:
        """Until it returns nothing: it "can accept more data" while it still keeps text back (brotli 1.2)."""
        while text := self._stream.process(chunk, output_buffer_limit=_INFLATED_AT_ONCE):
            yield text
            chunk = b""


class _BrotliFile:
    """A file that is compressed by brotli while it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._compressor = file, brotli.Compressor(quality=5)

    def write(self, text: bytes) -> int:
        self._file.write(self._compressor.process(text))
        return len(text)

    def close(self) -> None:
        self._file.write(self._compressor.finish())


def _inflaters(wbits: int) -> tuple[Decompressor, ...]:
    return (
        Decompressor(256 * 1024, lambda: isal_zlib.decompressobj(wbits=wbits), _inflated_quickly),
        Decompressor(8192, lambda: zlib.decompressobj(wbits=wbits), _inflated),
    )


def _twice(
    begin: Callable[[], Any], decompress: Callable[[Any, bytes], Iterable[bytes]] = _in_steps
) -> tuple[Decompressor, ...]:
    """In chunks; a file that fails is read again, its broken chunk byte by byte."""
    return Decompressor(65536, begin, decompress), Decompressor(65536, begin, decompress, is_bytewise=True)


_INFLATE_ERRORS = (zlib.error, cast(Any, isal_zlib).IsalError)
# Of a zip's members: without the header that gzip has, so no file is recognized as one.
DEFLATE = Codec("deflate", None, "", _INFLATE_ERRORS, _inflaters(-15), lambda file: file, has_members=False)
_CODECS = (
    Codec(
        "gzip",
        re.compile(rb"\x1f\x8b"),
        ".gz",
        _INFLATE_ERRORS,
        _inflaters(31),
        lambda file: cast(BinaryIO, gzip.GzipFile("", "wb", fileobj=file, mtime=0)),
    ),
    Codec(
        "zstd",
        re.compile(rb"\x28\xb5\x2f\xfd|" + _SKIPPABLE.pattern),
        ".zst",
        (zstandard.ZstdError,),
        (
            Decompressor(
                1024,
                lambda: zstandard.ZstdDecompressor(max_window_size=_WIDEST_ZSTD_WINDOW).decompressobj(),
                lambda frame, chunk: [frame.decompress(chunk)],
            ),
        ),
        lambda file: cast(BinaryIO, zstandard.ZstdCompressor().stream_writer(file, closefd=False)),
    ),
    Codec(
        "bzip2",
        re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
        ".bz2",
        (OSError,),
        _twice(bz2.BZ2Decompressor),
        lambda file: cast(BinaryIO, bz2.BZ2File(file, "wb")),
    ),
    Codec(
        "xz",
        re.compile(rb"\xfd7zXZ\x00"),
        ".xz",
        (lzma.LZMAError,),
        _twice(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)),
        lambda file: cast(BinaryIO, lzma.LZMAFile(file, "wb")),  # noqa: SIM115
    ),
    Codec(
        "lz4",
        re.compile(rb"\x04\x22\x4d\x18"),
        ".lz4",
        (RuntimeError,),
        _twice(lz4.frame.LZ4FrameDecompressor),
        lambda file: cast(BinaryIO, lz4.frame.LZ4FrameFile(file, "wb")),
    ),
    Codec(
        "brotli",
        None,
        ".br",
        (brotli.error,),
        _twice(_BrotliStream, lambda stream, chunk: stream.decompress(chunk)),
        lambda file: cast(BinaryIO, _BrotliFile(file)),
        has_members=False,
    ),
)
