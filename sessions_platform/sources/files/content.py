"""The bytes of an open landing file: hashed, decompressed, and without a BOM.

How compressed bytes become text is in `sources.formats.compression`; which rows they are, in `reader`.
"""

import hashlib
import io
import os
from codecs import BOM_UTF8
from collections.abc import Iterator
from functools import partial
from typing import Any

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.sources.base import Span
from sessions_platform.sources.files.encoding_doubt import EncodingDoubt
from sessions_platform.sources.files.served import ServedFile
from sessions_platform.sources.formats.compression import Codec, codec_of, decompressed
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.foreign import refuse_foreign

_CHUNK_BYTES = 256 * 1024
SIGNATURE_BYTES = 512


class MemberFile(io.FileIO):
    """The copy of an archive's member, or an archive that can't be read to its end.

    Attributes:
        refused: why nothing of it can be read.
        damage: why there is no more than its bytes; both are None where all is there.
    """

    def __init__(self, descriptor: int, refused: str | None) -> None:
        super().__init__(descriptor, "r+b")
        self.refused = refused
        self.damage: str | None = None


class FileContent:
    """A file as long as it was when it was opened; what is appended later is for the next reading.

    It may be read several times; each byte is hashed when it is first read, and so is each byte of decompressed text.
    `preamble` is the BOM that `text` leaves out, and `text_bytes` the size of the text that has been read; None where
    `text` wasn't called. Of a span the bytes before it are read, too, since they may name its fields. `open_bytes`
    and `has_open_head` are set by the format: how many bytes at the text's end are records that later text might
    change, and whether it might change the header above them all.
    """

    def __init__(
        self,
        handle: io.FileIO | ServedFile,
        source: FilesSource,
        block_bytes: int,
        name: str = "",
        span: Span | None = None,
    ) -> None:
        is_served = isinstance(handle, ServedFile)
        size = handle.size if is_served else os.fstat(handle.fileno()).st_size
        self.size = size if span is None or span.end is None else min(size, span.end)
        self.first_byte = span.first_byte if span else 0
        self.open_bytes = 0
        self.has_open_head = False
        self.is_packed = False
        self.max_bytes = source.max_unpacked
        self.preamble = b""
        self.text_bytes: int | None = None
        self._handle, self._name = handle, name
        self._part = handle.part if is_served else partial(os.pread, handle.fileno())
        self._member = handle if isinstance(handle, MemberFile) else None
        self._encoding = source.encoding
        self._doubt = EncodingDoubt(source.encoding)
        self._block_bytes = block_bytes
        self._sha256 = hashlib.sha256()
        self._hashed = 0
        self._text_sha256: Any = None  # of a text that was decompressed to its end

    def chunks(self, size: int, start: int = 0) -> Iterator[bytes]:
        """The file's bytes from `start` on, in chunks of `size`."""
        while chunk := self._part(min(size, self.size - start), start):
            start += len(chunk)
            if start > self._hashed:
                self._sha256.update(chunk[self._hashed - start :])
                self._hashed = start
            yield chunk

    def digest(self) -> str:
        """SHA-256 in hex, of the whole file, read or not."""
        for _ in self.chunks(1 << 20, self._hashed):
            pass
        return self._sha256.hexdigest()

    def digest_between(self, start: int, end: int) -> str:
        """SHA-256 in hex, of some of the file's bytes, which are read again."""
        sha256 = hashlib.sha256()
        while start < end and (chunk := self._part(min(1 << 20, end - start), start)):
            start += len(chunk)
            sha256.update(chunk)
        return sha256.hexdigest()

    def text_digest(self) -> str:
        """SHA-256 in hex, of the decompressed text, BOM included; of the file where that is it, or could not be read.

        Of a text that breaks off nobody knows whether the rest was that of another file with the same beginning.
        """
        return self._text_sha256.hexdigest() if self._text_sha256 else self.digest()

    def file(self) -> io.FileIO:
        """The open file, hashed before it is read: were it overwritten meanwhile, its next digest would differ.

        Raises CorruptDataError where it is a member that can't be read as a whole.
        """
        if self._member and (reason := self._member.refused or self._member.damage):
            raise CorruptDataError(reason)
        self.digest()
        return self._handle.file() if isinstance(self._handle, ServedFile) else self._handle

    @property
    def warnings(self) -> list[str]:
        """What is to be told of the text, once all of it has been read."""
        return [self._doubt.warning] if self._doubt.warning else []

    def text(self) -> Iterator[bytes]:
        """The decompressed text in chunks, without its BOM. Raises CorruptDataError where the rest isn't readable.

        Whether and how a file is compressed is known by its first bytes, not by its name; but for brotli.
        """
        chunks = self._counted_text()
        start = b""
        while len(start) < len(BOM_UTF8) and (chunk := next(chunks, None)) is not None:
            start += chunk
        if self._encoding == "utf-8" and start.startswith(BOM_UTF8):
            self.preamble = BOM_UTF8
        yield start[len(self.preamble) :]
        yield from chunks

    def _counted_text(self) -> Iterator[bytes]:
        self.text_bytes, self._text_sha256 = 0, None
        if self._member and self._member.refused:
            raise CorruptDataError(self._member.refused)
        start = next(self.chunks(SIGNATURE_BYTES), b"")
        refuse_foreign(start, in_archive=self._member is not None)
        codec = codec_of(start, self._name)
        self.is_packed = codec is not None
        chunks = self._unpacked(codec) if codec else self.chunks(min(_CHUNK_BYTES, self._block_bytes))
        for chunk in self._hashing(chunks) if codec else chunks:
            self.text_bytes += len(chunk)
            self._doubt.see(chunk)
            yield chunk
        self._doubt.see(b"", is_last=True)
        if self._member and self._member.damage:
            self._text_sha256 = None
            raise CorruptDataError(self._member.damage)

    def _hashing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        sha256 = hashlib.sha256()
        for chunk in chunks:
            sha256.update(chunk)
            yield chunk
        self._text_sha256 = sha256

    def _unpacked(self, codec: Codec) -> Iterator[bytes]:
        chunks = long_start(decompressed(self.chunks, codec, self.max_bytes))
        start = next(chunks)
        refuse_foreign(start, codec.name, in_archive=self._member is not None)
        if inner := codec_of(start):
            raise CorruptDataError(f"it is a file in {inner.name} in {codec.name}. Fix: deliver it packed once")
        yield start
        yield from chunks


def long_start(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text in chunks of which the first is long enough for any signature, unless the text is shorter."""
    start, broken = b"", None
    try:
        while len(start) < SIGNATURE_BYTES and (chunk := next(chunks, None)) is not None:
            start += chunk
    except CorruptDataError as error:
        broken = error
    yield start
    if broken:
        raise broken
    yield from chunks
