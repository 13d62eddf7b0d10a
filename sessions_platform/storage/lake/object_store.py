"""The lake in a bucket of S3, Google Cloud Storage or Azure: an object for each file.

A file is written as a local draft, and becomes an object in one request, which the store refuses where there is one of
that name: so an object is whole or not there, and a process that is killed leaves none in parts. It is read from a
copy, which is fetched once and compared with all of its checksums (`copies.py`), or where little of a large one is
needed from the parts that are (`parts.py`). Not here: what the requests' errors
mean (`sources.objects.failures`), and how an object is copied in one version (`sources.objects.copying`).
"""

import io
import mmap
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sessions_platform.contracts.object_store import Objects
from sessions_platform.sources.objects.copying import Copier
from sessions_platform.sources.objects.failures import Failures, OverwrittenError, Wording
from sessions_platform.sources.objects.listing import listed, version_of
from sessions_platform.storage.lake.bucket import open_store, wording
from sessions_platform.storage.lake.copies import Copies, Copy, read_at, reader, size_of
from sessions_platform.storage.lake.deletions import delete_all
from sessions_platform.storage.lake.filesystem import Draft, ListedFile, Needed, State, draft_in, drafts_below
from sessions_platform.storage.lake.open_uploads import abort, is_open_upload, open_uploads
from sessions_platform.storage.lake.stored_file import checksum_in

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from sessions_platform.storage.lake.parts import Parts

# Copies that are kept in the scratch folder, by each process.
COPIED_BYTES, COPIED_FILES = 2 << 30, 200
# A smaller object is copied whole, in one request; and so is one of which more than this share is needed.
PARTLY_FROM_BYTES, _MOST_IN_PARTS = 8 << 20, 0.5
# What a store takes in one request: S3 5 GiB, Azure 5000 MiB, Google 5 TiB. A larger file is sent in parts.
SINGLE_REQUEST_BYTES = 4 << 30
_GIVE_UP_AFTER = timedelta(minutes=2)
# A file that is sent in parts: the bytes of one, how many are on the line at once, and how many it is read by.
_PART_BYTES, _PARTS_AT_ONCE, _READ_BYTES = 10 << 20, 12, 8 << 20
# How often it is asked again where a store refuses a name as taken, and has no such object.
_ATTEMPTS = 5


class ObjectFilesystem:
    """A `Filesystem` of objects below a prefix.

    Args:
        objects: the bucket, and the prefix as its path; "" for none.
        scratch: the local folder of drafts and copies; made when it is first needed.
        opens: opens the bucket, once something is asked of it; for requests that send so many bytes, or None. By
            default as the lake's.
        give_up_after: for how long a store that does not answer is tried.
        said: what sentences about the bucket say; by default that it is the lake's.
    """

    is_local = False

    def __init__(
        self,
        objects: Objects,
        scratch: Path,
        opens: "Callable[[int | None], ObjectStore] | None" = None,
        give_up_after: timedelta = _GIVE_UP_AFTER,
        said: Wording | None = None,
    ) -> None:
        self._objects, self._scratch, self._given = objects, scratch, opens
        self._opens = opens or partial(open_store, objects)
        self._store, self._sender = cache(partial(self._opens, None)), cache(self._opens)
        self._failures = Failures(objects, give_up_after, said or wording(objects.scheme))
        self._copier = Copier(self._store, self._failures, scratch)
        self._copies = Copies[Copy](COPIED_BYTES, COPIED_FILES)
        self._parts = Copies["Parts"](COPIED_BYTES, COPIED_FILES)
        self._sizes: dict[str, int] = {}  # as last seen

    def __reduce__(self) -> "tuple[type[ObjectFilesystem], tuple[Objects, Path]]":
        """In another process, perhaps of another machine, it is opened anew, with the credentials that are there."""
        return ObjectFilesystem, (self._objects, Path(tempfile.gettempdir()) / "sessions_platform")

    def draft(self, folder: str) -> AbstractContextManager[Path]:
        return draft_in(self._drafts / folder)

    def put_if_absent(self, path: str, draft: Path) -> bool:
        with io.FileIO(str(draft)) as file:
            send = self._send_whole if size_of(file) <= SINGLE_REQUEST_BYTES else self._send_in_parts
            version = send(path, _content(file))
            if version is None:
                return False
            self._copies.keep(path, Copy(file, version))
        return True

    def open(self, path: str) -> BinaryIO:
        return reader(self._copy(path))

    def read(self, path: str, offset: int, length: int) -> bytes:
        copy = self._copies.kept(path)
        if copy is None:
            size = self._sizes.get(path)
            size = self.size(path) if size is None else size
            return self._range(path, offset, min(length, size - offset))
        return read_at(copy, offset, length)

    def size(self, path: str) -> int:
        return self._head(path)["size"]

    def state(self, path: str) -> State:
        meta = self._current(path)
        return State(meta["size"], version_of(meta))

    def list(self, folder: str) -> Iterator[str]:
        return (file.path for file in self.listed(folder))

    def listed(self, folder: str) -> Iterator[ListedFile]:
        start = len(self._key(""))
        store, prefix = self._store(), self._key(folder)
        found = self._asked(lambda: list(listed(store, prefix, is_flat=False)), folder)
        yield from sorted(ListedFile(each.key[start:], each.size, each.written_at) for each in found)

    def missing(self, folder: str, paths: Collection[str]) -> Sequence[str]:
        """As `Filesystem.missing`; one listing takes less than a request for each path."""
        there = set(self.list(folder)) if paths else set[str]()
        return [path for path in paths if path not in there]

    def drafts(self, folder: str) -> Sequence[Draft]:
        local = list(drafts_below(self._drafts / folder))
        # They are asked for as the environment says, by which a store that somebody else opens need not be reached.
        return local if self._given else [*local, *open_uploads(self._objects, self._key(folder))]

    def discard(self, draft: Draft) -> None:
        if is_open_upload(draft):
            abort(self._objects, draft)
        else:
            Path(draft.place).unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        self.delete_all([path])

    def delete_all(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.forget(path)
        delete_all(self._store(), [self._key(path) for path in paths], self._delete)

    def delete_folder(self, folder: str) -> None:
        self.delete_all(list(self.list(folder)))
        for draft in self.drafts(folder):
            self.discard(draft)

    def forget(self, path: str) -> None:
        self._copies.drop(path)
        self._parts.drop(path)
        self._sizes.pop(path, None)

    @contextmanager
    def local(self, path: str, needed: Needed | None = None) -> Iterator[Path]:
        parts = self._partly(path, needed) if needed else None
        with Copy(parts, parts.version) if parts else self._copy(path) as copy:
            yield _path_of(copy)

    def url(self, path: str) -> str:
        return f"{self._objects.root}/{self._key(path)}"

    def in_scratch(self, folder: Path) -> "ObjectFilesystem":
        return ObjectFilesystem(self._objects, folder, self._given)

    @property
    def _drafts(self) -> Path:
        return self._scratch / "lake"

    def _key(self, path: str) -> str:
        return f"{self._objects.path}/{path}" if self._objects.path else path

    def _asked(self, work: "Callable[[], Any]", path: str) -> Any:
        self._store()
        return self._failures.asked(work, self.url(path))

    def _delete(self, key: str) -> None:
        with suppress(FileNotFoundError):  # of which S3 says nothing, and the others this
            self._failures.asked(lambda: self._store().delete(key), f"{self._objects.root}/{key}")

    def _head(self, path: str) -> Any:
        meta = self._asked(lambda: self._store().head(self._key(path)), path)
        self._sizes[path] = meta["size"]
        return meta

    def _range(self, path: str, offset: int, length: int) -> bytes:
        if length <= 0:
            return b""
        return bytes(self._asked(lambda: self._store().get_range(self._key(path), start=offset, length=length), path))

    def _current(self, path: str) -> Any:
        """What the store says of the object. What was copied of another version is dropped."""
        meta = self._head(path)
        for copies in (self._copies, self._parts):
            copies.drop(path, unless_version=version_of(meta))
        return meta

    def _partly(self, path: str, needed: Needed) -> "Parts | None":
        """The parts of an object that are needed; None where it has to be, was, or had better be copied whole."""
        for _ in range(_ATTEMPTS):
            meta = self._current(path)
            is_small = meta["size"] < PARTLY_FROM_BYTES
            if is_small or self._copies.kept(path) is not None or (checksum := checksum_in(path)) is None:
                return None
            try:
                parts = self._parts.get(path, partial(self._begun, path, meta, checksum))
                ranges = needed(_path_of(parts))
                if sum(end - start for start, end in ranges) > _MOST_IN_PARTS * meta["size"]:
                    return None
                parts.need(ranges)
            except OverwrittenError:
                self._parts.drop(path)
            else:
                self._parts.keep(path, parts)  # since it takes more space now
                return parts
        raise self._failures.unavailable(f"{self.url(path)} was overwritten whenever it was read, {_ATTEMPTS} times.")

    def _begun(self, path: str, meta: Any, checksum: str) -> "Parts":
        from sessions_platform.storage.lake.parts import Parts

        def fetch(file: io.FileIO, ranges: Sequence[tuple[int, int]]) -> None:
            self._copier.fill(file, self._key(path), self.url(path), meta, ranges)

        with self._copier.empty() as file:
            return Parts(file, version_of(meta), meta["size"], checksum, fetch)

    def _copy(self, path: str) -> Copy:
        kept = self._copies.get(path, partial(self._fetched, path))
        return Copy(kept, kept.version)

    def _fetched(self, path: str) -> Copy:
        """A new copy. Raises ChecksumError where its bytes are not those that were written."""
        self._store()
        with self._copier.copied(self._key(path), self.url(path)) as file:
            copy = Copy(file, file.version)
        if checksum := checksum_in(path):
            from sessions_platform.storage.lake.checksums import Checksums

            Checksums(checksum, size_of(copy), partial(read_at, copy)).check()
        return copy

    def _send_whole(self, path: str, content: Any) -> str | None:
        """Make an object in one request; its version, or None where there is one of that name."""
        store, key = self._sender_of(len(content)), self._key(path)
        for _ in range(_ATTEMPTS):
            try:
                result = self._asked(lambda: store.put(key, content, mode="create", use_multipart=False), path)
            except FileExistsError:
                with suppress(FileNotFoundError):  # S3 refuses, too, while the name is being deleted
                    self._head(path)
                    return None
            else:
                return version_of({**result, "size": len(content)}) if result["e_tag"] else self._version(path)
        raise self._failures.unavailable(
            f"{self.url(path)}: the store refuses the name as taken, and has no such object."
        )

    def _send_in_parts(self, path: str, content: Any) -> str | None:
        """The same for a file that no store takes in one request. The parts of one that fails are discarded.

        The name is not refused in the last request, so that of two writers at the same moment both may succeed. They
        write the same bytes: a name contains a random number, or the digest of all bytes.
        """
        from obstore import open_writer

        with suppress(FileNotFoundError):
            self._head(path)
            return None

        store = self._sender_of(_PART_BYTES * _PARTS_AT_ONCE)

        def send() -> None:
            with open_writer(store, self._key(path), buffer_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE) as writer:
                for start in range(0, len(content), _READ_BYTES):
                    writer.write(content[start : start + _READ_BYTES])

        self._asked(send, path)
        return self._version(path)

    def _sender_of(self, size: int) -> "ObjectStore":
        """The store for requests that send so many bytes: one for each power of two, since it keeps connections."""
        return self._sender(1 << max(size, _READ_BYTES).bit_length())

    def _version(self, path: str) -> str:
        return version_of(self._head(path))


def _path_of(copy: Copy) -> Path:
    return Path(f"/dev/fd/{copy.fileno()}")


def _content(file: io.FileIO) -> mmap.mmap | bytes:
    """A file's bytes, which the system reads as they are sent; they stay until no request needs them."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size_of(file) else b""
