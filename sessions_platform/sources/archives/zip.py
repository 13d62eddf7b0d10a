"""The members of a zip archive, by its central directory, and their content.

Sections are those of PKWARE's APPNOTE 6.3.10. Python's `zipfile` is not used: it makes an object of each entry before
any limit can be applied, and of a member that is broken it loses the whole chunk.
"""

import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from sessions_platform.sources.archives.members import Kind, Member
from sessions_platform.sources.formats.compression import DEFLATE, codec_of, decompressed
from sessions_platform.sources.formats.errors import CorruptDataError

# Reads up to so many bytes of the file at an offset.
ReadAt = Callable[[int, int], bytes]

_END = struct.Struct("<4s4H2LH")  # 4.3.16, end of central directory
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14, zip64 end of central directory
_LOCATOR64 = struct.Struct("<4sLQL")  # 4.3.15
_ENTRY = struct.Struct("<4s4B4H3L5H2L")  # 4.3.12, a header of the central directory
_LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7, a local header
_LONGEST_COMMENT = 0xFFFF
_UNKNOWN = 0xFFFFFFFF  # the value is in the extra field of zip64 (4.5.3)
_ENCRYPTED, _SIZES_BEHIND, _MASKED, _UTF8 = 1, 1 << 3, 1 << 13, 1 << 11  # flags (4.4.4)
_STORED, _DEFLATED = 0, 8
_SIGNATURES = {12: b"BZh91AY&SY", 93: b"\x28\xb5\x2f\xfd", 95: b"\xfd7zXZ\0"}  # methods that have a codec (4.4.5)
_METHODS = {1: "shrunk", 6: "imploded", 9: "deflate64", 14: "LZMA", 98: "PPMd", 99: "encrypted by AES"}
_CHUNK = 1 << 18
_UNIX, _DARWIN = 3, 19


def zip_members(read: ReadAt, size: int, tell: Callable[[str], None]) -> Iterator[Member]:
    """All entries of the central directory, in its order.

    Args:
        read: of the archive.
        size: of the archive, in bytes.
        tell: called with what is odd about the archive as a whole.

    Raises:
        CorruptDataError: there is no central directory, or the rest of it is broken.
    """
    end, count, length, start, shift = _directory(read, size)
    if shift:
        tell(f"{shift} bytes before the archive belong to no member")
    if size > end:
        tell(f"{size - end} bytes behind the archive belong to no member")
    yield from _entries(read, start, length, count, shift)


def _directory(read: ReadAt, size: int) -> tuple[int, int, int, int, int]:
    """The archive's end, its number of entries, the directory's length and offset, and how far all is shifted."""
    tail_start = max(0, size - _END.size - _LONGEST_COMMENT)
    tail = read(tail_start, size - tail_start)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < _END.size:
        raise CorruptDataError("it has no central directory at its end: it is cut off")
    _, disk, first_disk, _, count, length, offset, comment = _END.unpack_from(tail, at)
    end = min(size, tail_start + at + _END.size + comment)
    directory_end = tail_start + at
    if (locator := read(directory_end - _LOCATOR64.size, _LOCATOR64.size)).startswith(b"PK\6\7"):
        record = read(directory_end - _LOCATOR64.size - _END64.size, _END64.size)
        if len(record) < _END64.size or not record.startswith(b"PK\6\6"):
            record = read(_LOCATOR64.unpack(locator)[2], _END64.size)
        if len(record) < _END64.size or not record.startswith(b"PK\6\6"):
            raise CorruptDataError("its zip64 directory is broken")
        _, record_size, _, _, disk, first_disk, _, count, length, offset = _END64.unpack(record)
        directory_end -= _LOCATOR64.size + 12 + record_size
    if disk not in (0, 0xFFFF) or first_disk not in (0, 0xFFFF):
        raise CorruptDataError("it is one part of an archive in several files. Fix: join them, or unpack them")
    start = directory_end - length
    if start < offset or start < 0:
        raise CorruptDataError("its central directory lies outside of it")
    return end, count, length, start, start - offset


def _entries(read: ReadAt, start: int, length: int, count: int, shift: int) -> Iterator[Member]:
    at, stop, entries = start, start + length, 0
    while at < stop:
        fixed = read(at, _ENTRY.size)
        if len(fixed) < _ENTRY.size or not fixed.startswith(b"PK\1\2"):
            raise CorruptDataError("the rest of its central directory is broken")
        values = _ENTRY.unpack(fixed)
        rest = read(at + _ENTRY.size, sum(values[12:15]))
        yield _member(values, rest, shift)
        at += _ENTRY.size + sum(values[12:15])
        entries += 1
    if entries & 0xFFFF != count & 0xFFFF:  # without zip64 some writers let the number wrap around
        raise CorruptDataError(f"its central directory has {entries} entries, and states {count}")


def _member(fixed: Sequence[Any], rest: bytes, shift: int) -> Member:
    _, _, system, _, _, flags, method, _, _, checksum, packed, size, name_size, extra_size, *_ = fixed
    raw_name, extra = rest[:name_size], rest[name_size : name_size + extra_size]
    size, packed, offset = _zip64(extra, size, packed, fixed[-1])
    name = raw_name.decode("utf-8" if flags & _UTF8 else "cp437", "surrogateescape")
    return Member(
        name,
        offset + shift,
        size,
        packed,
        _kind(name, system, fixed[-2]),
        _refused(flags, method, size, packed),
        method,
        checksum,
        raw_name,
    )


def _zip64(extra: bytes, size: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The values that are too large for their fields, from the extra field 1 (4.5.3)."""
    values = [size, packed, offset]
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            large = iter(struct.iter_unpack("<Q", extra[at + 4 : at + 4 + length // 8 * 8]))
            values = [next(large, (value,))[0] if value == _UNKNOWN else value for value in values]
        at += 4 + length
    return values[0], values[1], values[2]


def _kind(name: str, system: int, attributes: int) -> Kind:
    mode = attributes >> 16 if system in (_UNIX, _DARWIN) else 0
    if name.endswith("/") or stat.S_ISDIR(mode):
        return Kind.folder
    if stat.S_ISLNK(mode):
        return Kind.link
    return Kind.file if stat.S_ISREG(mode) or not stat.S_IFMT(mode) else Kind.other


def _refused(flags: int, method: int, size: int, packed: int) -> str | None:
    if flags & (_ENCRYPTED | _MASKED):
        return "it is encrypted. Fix: unpack it, and deliver the file itself"
    if method not in (_STORED, _DEFLATED, *_SIGNATURES):
        return f"it is packed by method {method} ({_METHODS.get(method, 'unknown')}). Fix: pack it by deflate"
    if method == _STORED and size != packed:
        return "the directory states two sizes of what is stored as it is"
    return None


def without_overlaps(members: Sequence[Member]) -> list[Member]:
    """The members of a listing; those whose content others have as well are refused, as in a bomb of few bytes."""
    by_offset = sorted(range(len(members)), key=lambda index: members[index].offset)
    overlapping: set[int] = set()
    for one, other in pairwise(by_offset):
        if members[one].offset + _LOCAL.size + members[one].packed > members[other].offset:
            overlapping |= {one, other}
    reason = "it shares its bytes with another member"
    return [replace(m, refused=m.refused or reason) if i in overlapping else m for i, m in enumerate(members)]


def zip_content(read: ReadAt, member: Member) -> Iterator[bytes]:
    """The content of a member, unpacked. Raises CorruptDataError where the rest is broken."""
    stored = part_of(read, _content_start(read, member), member.packed)
    codec = DEFLATE if member.method == _DEFLATED else codec_of(_SIGNATURES.get(member.method, b""))
    texts = stored(_CHUNK) if codec is None else decompressed(stored, codec, member.size + 1)
    yield from _verified(texts, member)


def packed_content(read: ReadAt, member: Member) -> Iterator[bytes]:
    """What the archive has of a member that can't be unpacked."""
    return part_of(read, member.offset + _LOCAL.size + len(member.raw_name), member.packed)(_CHUNK)


def _content_start(read: ReadAt, member: Member) -> int:
    header = read(member.offset, _LOCAL.size)
    if len(header) < _LOCAL.size or not header.startswith(b"PK\3\4"):
        raise CorruptDataError("it has no local header")
    _, _, flags, method, _, _, checksum, packed, size, name_size, extra_size = _LOCAL.unpack(header)
    rest = read(member.offset + _LOCAL.size, name_size + extra_size)
    sizes = _zip64(rest[name_size:], size, packed, 0)[:2]
    stated = (rest[:name_size], method, None if flags & _SIZES_BEHIND else (*sizes, checksum))
    directory = (member.raw_name, member.method, stated[2] and (member.size, member.packed, member.checksum))
    if stated != directory:
        wrong = ("name", "method", "size or checksum")[
            [a == b for a, b in zip(stated, directory, strict=True)].index(False)
        ]
        raise CorruptDataError(f"its local header and the central directory state another {wrong}")
    return member.offset + _LOCAL.size + name_size + extra_size


def part_of(read: ReadAt, start: int, length: int) -> Callable[[int], Iterator[bytes]]:
    """Reads a part of the file from its beginning, in chunks of the size asked for."""

    def chunks(size: int) -> Iterator[bytes]:
        at = start
        while chunk := read(at, min(size, start + length - at)):
            at += len(chunk)
            yield chunk
        if at < start + length:
            raise CorruptDataError("the archive ends in it")

    return chunks


def _verified(texts: Iterable[bytes], member: Member) -> Iterator[bytes]:
    checksum = length = 0
    for text in texts:
        yield text[: member.size - length]
        length += len(text)
        checksum = zlib.crc32(text, checksum)
        if length > member.size:
            raise CorruptDataError(f"it is longer than the {member.size} bytes that the directory states")
    if length < member.size:
        raise CorruptDataError(f"it has {length} bytes of the {member.size} that the directory states")
    if checksum != member.checksum:
        raise CorruptDataError("its checksum is not the one that the directory states")


def ends_as_zip(read: ReadAt, size: int) -> bool:
    """Whether a file without the signature of a zip ends as one, without a comment: other bytes were put before it."""
    end = read(max(0, size - _END.size), _END.size)
    return len(end) == _END.size and end.startswith(b"PK\5\6") and end.endswith(b"\0\0")


def reader_of(descriptor: int) -> ReadAt:
    """Reads a file by its descriptor; less where it ends, nothing before its beginning."""
    return lambda at, size: os.pread(descriptor, size, at) if at >= 0 and size > 0 else b""
