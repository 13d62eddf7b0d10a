"""The members of a tar archive, in one pass over its unpacked bytes.

Headers are decoded by `tarfile.TarInfo.frombuf`. `tarfile.open` is not used: it takes a broken header amid the archive
for its end, reads extended headers of any length, and keeps all members. Names of sections are those of POSIX (pax).
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from sessions_platform.sources.archives.members import Kind, Member
from sessions_platform.sources.formats.errors import CorruptDataError

_BLOCK = 512
_LONGEST_HEADER = 1 << 20  # of extended headers: a name, and what else describes a member
_CHUNK = 1 << 18
_ENDS_CUT = "it ends without the end marker of tar: it is cut off"
_KINDS = {
    **dict.fromkeys((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE), Kind.file),
    **dict.fromkeys((tarfile.LNKTYPE, tarfile.SYMTYPE), Kind.link),
    tarfile.DIRTYPE: Kind.folder,
}
_SPARSE = "it is a sparse file. Fix: pack it without --sparse"


class ForwardReader:
    """Reads chunks as a file that can only go on; `position` is the offset of the next byte."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.position = 0
        self._chunks = chunks
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """So many bytes, and fewer at the end only. Raises CorruptDataError where there are no further ones."""
        parts = []
        while size and (part := self._next(size)):
            parts.append(bytes(part))
            size -= len(part)
        return b"".join(parts)

    def pieces(self, size: int) -> Iterator[bytes]:
        """So many bytes in pieces. Raises CorruptDataError where the chunks end before, or break."""
        while size:
            if not (piece := self._next(min(size, _CHUNK))):
                raise CorruptDataError("the archive ends in it")
            size -= len(piece)
            yield bytes(piece)

    def skip_to(self, position: int) -> None:
        """Go on to an offset, which is not before `position`; the chunks may end before it."""
        while self.position < position and self._next(position - self.position):
            pass

    def _next(self, size: int) -> memoryview:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return self._rest
            self._rest = memoryview(chunk)
        part, self._rest = self._rest[:size], self._rest[size:]
        self.position += len(part)
        return part


def looks_like_tar(start: bytes) -> bool:
    """Whether bytes begin with a header of tar, of any of its formats: its checksum is right."""
    try:
        return bool(tarfile.TarInfo.frombuf(start[:_BLOCK], "utf-8", "surrogateescape").name)
    except tarfile.HeaderError:
        return False


@dataclass
class _Extended:
    """What the extended headers before a member say of it."""

    name: str | None = None
    size: int | None = None
    is_sparse: bool = False


def tar_members(archive: ForwardReader) -> Iterator[Member]:
    """All entries, in the archive's order; archives that follow one another are one.

    Raises:
        CorruptDataError: the rest of the archive can't be read.
    """
    has_ended, everywhere, extended = False, _Extended(), _Extended()
    while header := archive.read(_BLOCK):
        if not header.strip(b"\0"):
            has_ended = True
            continue
        has_ended, info = False, _decoded(header, archive.position - _BLOCK)
        content = archive.position
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
            name = _text(_extension(archive, info.size).rstrip(b"\0"))
            extended.name = name if info.type == tarfile.GNUTYPE_LONGNAME else extended.name
        elif info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
            _extend(everywhere if info.type == tarfile.XGLTYPE else extended, _extension(archive, info.size))
        else:
            if info.type == tarfile.GNUTYPE_SPARSE:
                content += _skip_sparse_map(archive, header)
            member = _member(info, content, extended, everywhere)
            yield member
            archive.skip_to(content + member.packed)
            extended = _Extended()
            if archive.position < content + member.packed:
                raise CorruptDataError("it is cut off in its last member")
        archive.skip_to(archive.position + -archive.position % _BLOCK)
    if not has_ended:
        raise CorruptDataError(_ENDS_CUT)


def _decoded(header: bytes, at: int) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise CorruptDataError(f"its header at byte {at} is broken: {error}") from None
    if info.size < 0:
        raise CorruptDataError(f"its header at byte {at} states a negative size")
    return info


def _extension(archive: ForwardReader, size: int) -> bytes:
    if size > _LONGEST_HEADER:
        raise CorruptDataError(f"an extended header has more than {_LONGEST_HEADER} bytes")
    content = archive.read(size)
    if len(content) < size:
        raise CorruptDataError("it is cut off in a header")
    return content


def _extend(extended: _Extended, records: bytes) -> None:
    """Records of pax: their length in decimal digits, a space, a key, "=", a value and a newline."""
    while records.strip(b"\0"):
        digits, _, _ = records.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 10 else 0
        key, equals, value = records[len(digits) + 1 : length - 1].partition(b"=")
        if not length or length > len(records) or not equals:
            raise CorruptDataError("an extended header is broken")
        records = records[length:]
        if key in (b"path", b"GNU.sparse.name"):
            extended.name = _text(value)
        elif key == b"size" and value.isdigit():
            extended.size = int(value)
        extended.is_sparse |= key.startswith(b"GNU.sparse.")


def _skip_sparse_map(archive: ForwardReader, header: bytes) -> int:
    """Read what a sparse file's header continues with, and return its size; GNU tar, "old GNU format"."""
    size, goes_on = 0, header[482]
    while goes_on:
        block = archive.read(_BLOCK)
        size += len(block)
        goes_on = block[504] if len(block) == _BLOCK else 0
    return size


def _member(info: tarfile.TarInfo, content: int, extended: _Extended, everywhere: _Extended) -> Member:
    kind = _KINDS.get(info.type, Kind.other)
    name = extended.name or everywhere.name or info.name
    stated = extended.size if extended.size is not None else everywhere.size
    size = info.size if stated is None else stated
    size = size if kind in (Kind.file, Kind.other) else 0
    is_sparse = extended.is_sparse or info.type == tarfile.GNUTYPE_SPARSE
    return Member(name, content, size, size, kind, _SPARSE if is_sparse else None)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
