"""How a block of an Avro file is decompressed. Runs in the child process only, whose memory is limited."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import zstandard

from sessions_platform.sources.formats.errors import CorruptDataError


def decompressed(codec: str, block: bytes) -> bytes:
    """The records of a block. Codecs are those of the specification (Avro 1.12, "Required" and "Optional Codecs").

    Raises:
        CorruptDataError: the codec is another, or the block is cut off or has the wrong checksum.
        Exception: what the codec's library raises for a broken block.
        MemoryError: the records take more than this process may have.
    """
    if codec not in _CODECS:
        raise CorruptDataError(f"its codec is {codec!r}; read are {', '.join(_CODECS)}")
    return _CODECS[codec](block)


def _stream(decompressor: Any, block: bytes) -> bytes:
    """All that a decompressor makes of a block that is whole; fastavro writes checksum bytes after deflate's end."""
    records = decompressor.decompress(block)
    if not decompressor.eof:
        raise CorruptDataError("a compressed block is cut off")
    return records


def _snappy(block: bytes) -> bytes:
    """Snappy without a frame, followed by the CRC-32 of the records. The records' length comes first, as a varint."""
    body, checksum = block[:-4], int.from_bytes(block[-4:], "big")
    length = next(index for index, byte in enumerate(body) if byte < 0x80) + 1
    size = sum((byte & 0x7F) << 7 * index for index, byte in enumerate(body[:length]))
    records = pa.decompress(body, decompressed_size=size, codec="snappy", asbytes=True)
    if zlib.crc32(records) != checksum:
        raise CorruptDataError("a block does not have its checksum")
    return records


_CODECS: dict[str, Callable[[bytes], bytes]] = {
    "null": bytes,
    "deflate": lambda block: _stream(zlib.decompressobj(-zlib.MAX_WBITS), block),
    "snappy": _snappy,
    "zstandard": lambda block: _stream(zstandard.ZstdDecompressor().decompressobj(), block),
    "bzip2": lambda block: _stream(bz2.BZ2Decompressor(), block),
    "xz": lambda block: _stream(lzma.LZMADecompressor(), block),
}
