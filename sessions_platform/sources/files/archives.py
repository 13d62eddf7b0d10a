"""The landing files that are archives, and their members as files.

Here: which files are archives, by their first bytes; what is in them, remembered while a process runs; and the copy of
a member that is read like any landing file. Names, limits and bytes of members are in `sources.archives`.
"""

import io
import os
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.settings import make_private_folder
from sessions_platform.sources.archives.members import NEVER_A_BOMB, Limits, Listing, Member, listing_of
from sessions_platform.sources.archives.tar import ForwardReader, looks_like_tar, tar_members
from sessions_platform.sources.archives.zip import (
    ends_as_zip,
    packed_content,
    part_of,
    reader_of,
    without_overlaps,
    zip_content,
    zip_members,
)
from sessions_platform.sources.base import IN_ARCHIVE
from sessions_platform.sources.files.content import SIGNATURE_BYTES, MemberFile, long_start
from sessions_platform.sources.files.tree import Glob
from sessions_platform.sources.formats.compression import Codec, codec_of, decompressed
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.foreign import TAR, ZIP, kind_of

_CHUNK = 1 << 18
_MOST_REMEMBERED = 500_000  # members, of all archives together
_TAR_NAMES = (".tar", ".tgz", ".tbz2", ".txz")


@dataclass(frozen=True)
class _Kind:
    """What an archive is: a zip, or a tar in a compression."""

    is_zip: bool
    codec: Codec | None = None


class Archives:
    """The archives among the landing files of a stream.

    Args:
        source: its keys `archive` (none for all members), `max_members`, `max_unpacked` and `max_ratio`.
        scratch: the folder of the copies of members while these are read.
    """

    def __init__(self, source: FilesSource, scratch: Path) -> None:
        self._limits = Limits(source.max_members, source.max_unpacked, source.max_ratio)
        self._pattern, self._scratch = source.archive, scratch
        self._is_wanted = Glob(source.archive).matches if source.archive else lambda _: True
        self._cursor: _Cursor | None = None

    def listing(self, handle: io.FileIO, name: str, fingerprint: str) -> Listing | None:
        """What is in an open file of this name; None where it is no archive."""
        if (known := self.remembered(name, fingerprint)) is not None:
            return known.listing
        listing = self._listed(handle, name)
        _REMEMBERED.put(self._key(name, fingerprint), Known(listing))
        return listing

    def remembered(self, name: str, fingerprint: str) -> "Known | None":
        """What this process knows of a file of this name that it has listed; None where it has not."""
        return _REMEMBERED.get(self._key(name, fingerprint))

    def _key(self, name: str, fingerprint: str) -> object:
        return (fingerprint, name, self._pattern, self._limits)

    def member_file(self, handle: io.FileIO, name: str, fingerprint: str, member_name: str) -> MemberFile:
        """A copy of a member. Raises FileNotFoundError where the archive has none of this name."""
        listing = self.listing(handle, name, fingerprint)
        member = listing.by_name.get(member_name) if listing else None
        if member is None:
            raise FileNotFoundError(f"{name}{IN_ARCHIVE}{member_name}")
        content = self._content(handle, name, fingerprint, member)
        return self._copied(content, member.refused)

    def itself(self, handle: io.FileIO, listing: Listing) -> MemberFile:
        """An archive as a file of no rows; where it is damaged, one that can't be read, of the archive's bytes."""
        if listing.damage is None:
            return self._copied(iter(()), None)
        return MemberFile(os.dup(handle.fileno()), listing.damage)

    def _copied(self, content: Iterator[bytes], refused: str | None) -> MemberFile:
        make_private_folder(self._scratch)
        descriptor, path = tempfile.mkstemp(dir=self._scratch)
        Path(path).unlink()  # it is gone with the last process that has it open, however that ends
        file = MemberFile(descriptor, refused)
        try:
            for chunk in content:
                file.write(chunk)
        except CorruptDataError as damage:
            file.damage = str(damage)
        except BaseException:
            file.close()
            raise
        return file

    def _content(self, handle: io.FileIO, name: str, fingerprint: str, member: Member) -> Iterator[bytes]:
        read, kind = reader_of(handle.fileno()), _kind_of(handle, name)
        assert kind is not None
        if kind.is_zip:
            return packed_content(read, member) if member.refused else zip_content(read, member)
        if kind.codec is None or member.refused:
            return iter(()) if member.refused else part_of(read, member.offset, member.size)(_CHUNK)
        cursor, self._cursor = self._cursor, None
        if cursor is None or not cursor.reaches(fingerprint, member):
            cursor = _Cursor(handle, kind.codec, fingerprint, self._limits)
        self._cursor = cursor
        return cursor.content(member)

    def _listed(self, handle: io.FileIO, name: str) -> Listing | None:
        kind = _kind_of(handle, name)
        if kind is None:
            return None
        told: list[tuple[str, str]] = []
        read, size = reader_of(handle.fileno()), _size(handle)
        if kind.is_zip:
            entries = zip_members(read, size, lambda reason: told.append(("", reason)))
            listing = listing_of(entries, self._is_wanted, self._limits)
            listing.members = without_overlaps(listing.members)
        else:
            reader = _Plain(handle) if kind.codec is None else _unpacked(handle, kind.codec, self._limits)
            listing = listing_of(tar_members(reader), self._is_wanted, self._limits)
        listing.passed_over = told + listing.passed_over
        return listing


class _Plain(ForwardReader):
    """A tar that is not compressed: what is skipped is not read."""

    def __init__(self, handle: io.FileIO) -> None:
        self._read, self._size = reader_of(handle.fileno()), _size(handle)
        super().__init__(iter(()))

    def _next(self, size: int) -> memoryview:
        part = self._read(self.position, min(size, self._size - self.position))
        self.position += len(part)
        return memoryview(part)

    def skip_to(self, position: int) -> None:
        self.position = max(self.position, min(position, self._size))


class _Cursor:
    """A compressed tar that is unpacked as far as its members were read, so that the next one is not far."""

    def __init__(self, handle: io.FileIO, codec: Codec, fingerprint: str, limits: Limits) -> None:
        self._file = _Descriptor(handle)
        self._fingerprint = fingerprint
        self._reader = _unpacked(self._file, codec, limits)

    def reaches(self, fingerprint: str, member: Member) -> bool:
        return self._fingerprint == fingerprint and self._reader.position <= member.offset

    def content(self, member: Member) -> Iterator[bytes]:
        self._reader.skip_to(member.offset)
        yield from self._reader.pieces(member.size)


class _Descriptor:
    """A second descriptor of an open file, which is closed with the object."""

    def __init__(self, handle: io.FileIO) -> None:
        self._descriptor = os.dup(handle.fileno())
        weakref.finalize(self, os.close, self._descriptor)  # also where Python ends, which has taken `os` apart then

    def fileno(self) -> int:
        return self._descriptor


def _kind_of(handle: io.FileIO, name: str) -> _Kind | None:
    """What kind of archive a file is, by its first bytes, and by its last ones where a zip has others before it."""
    read, size = reader_of(handle.fileno()), _size(handle)
    start = read(0, SIGNATURE_BYTES)
    codec = codec_of(start, name)
    if codec is not None:
        start = next(long_start(decompressed(_chunks_of(handle), codec, SIGNATURE_BYTES * 64)))
    kind = kind_of(start)
    if codec is None and (kind == ZIP or (kind is None and ends_as_zip(read, size))):
        return _Kind(is_zip=True)
    is_named_tar = any(part in name.lower() for part in _TAR_NAMES)
    if kind == TAR or looks_like_tar(start) or (is_named_tar and start and not start.strip(b"\0")):
        return _Kind(is_zip=False, codec=codec)
    return None


def _chunks_of(handle: io.FileIO | _Descriptor) -> Callable[[int], Iterable[bytes]]:
    return part_of(reader_of(handle.fileno()), 0, _size(handle))


def _unpacked(handle: io.FileIO | _Descriptor, codec: Codec, limits: Limits) -> ForwardReader:
    most = max(NEVER_A_BOMB, limits.max_ratio * _size(handle))
    limit = (most, "max_ratio allows") if most < limits.max_unpacked else (limits.max_unpacked, "max_unpacked")
    return ForwardReader(decompressed(_chunks_of(handle), codec, *limit))


def _size(handle: io.FileIO | _Descriptor) -> int:
    return os.fstat(handle.fileno()).st_size


@dataclass(frozen=True)
class Known:
    """What is known of a file: what is in it, or that it is no archive."""

    listing: Listing | None


class _Remembered:
    """The listings that this process has made last: to list a compressed tar takes as long as to unpack it."""

    def __init__(self) -> None:
        self._known: OrderedDict[object, Known] = OrderedDict()
        self._members = 0
        self._lock = Lock()

    def get(self, key: object) -> Known | None:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def put(self, key: object, known: Known) -> None:
        with self._lock:
            if key not in self._known:
                self._known[key] = known
                self._members += _weight(known)
            while self._members > _MOST_REMEMBERED and len(self._known) > 1:
                self._members -= _weight(self._known.popitem(last=False)[1])


def _weight(known: Known) -> int:
    return 1 + (len(known.listing.members) if known.listing else 0)


_REMEMBERED = _Remembered()


def texts_in_archive(path: Path, source: FilesSource, scratch: Path) -> Iterator[Iterator[bytes]]:
    """The content of each member of an archive, packed and unpacked, as far as it can be read; none of other files."""
    archives = Archives(source.model_copy(update={"archive": None}), scratch)
    with io.FileIO(path) as handle:
        listing = archives.listing(handle, path.name, str(path))
        for member in listing.members if listing else ():
            with archives.member_file(handle, path.name, str(path), member.name) as file:
                chunks = _chunks_of(file)
                yield iter(chunks(_CHUNK))
                if codec := codec_of(next(iter(chunks(SIGNATURE_BYTES)), b""), member.name):
                    yield decompressed(chunks, codec, source.max_unpacked)
