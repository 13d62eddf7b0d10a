"""Takes an object into memory, or copies it into a file of the scratch folder, in one version: never parts of two.

A small object is one answer, and stays in memory. Of a larger one the first answer says which version the object has.
All other parts are asked for in that version (If-Match), and each answer's own version is compared, too, since some
servers ignore the condition. Where the object was overwritten meanwhile, it is read anew. Not here: what it contains
(`sources.files.reader`). A large object that was announced may also be read while it arrives (`arriving`); where that
one was overwritten meanwhile, whoever reads it has to begin anew.
"""

import errno
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sessions_platform.errors import UserError
from sessions_platform.settings import make_private_folder
from sessions_platform.sources.errors import OverwrittenSliceError
from sessions_platform.sources.files.in_memory import InMemory
from sessions_platform.sources.files.served import ServedFile
from sessions_platform.sources.objects.arriving import Arriving
from sessions_platform.sources.objects.failures import CutOffError, Failures, OverwrittenError
from sessions_platform.sources.objects.listing import version_of

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ObjectStore

# So much is in memory at once: as many parts of this size, or a small object of two parts; and what is fetched ahead
# (`most_ahead`), which is as many parts again.
PART_BYTES = 8 << 20
_AT_ONCE = 4
_ATTEMPTS = 5


class ObjectCopy(io.FileIO):
    """A copy that has no name, and is gone with the last process that has it open.

    Attributes:
        version: of the object, as `listing.version_of` has it.
    """

    version = ""


class ObjectBody(NamedTuple):
    """The bytes of a small object, and its version."""

    body: Any
    version: str

    def close(self) -> None:
        """Nothing is to be let go but its memory."""


class Copier:
    """Takes objects of one store.

    Args:
        store: the bucket, once it is opened.
        failures: by which it is asked.
        scratch: the folder of the copies.
    """

    def __init__(self, store: "Callable[[], ObjectStore]", failures: Failures, scratch: Path) -> None:
        self._store, self._failures, self._scratch = store, failures, scratch

    def copied(self, key: str, place: str) -> ObjectCopy:
        """A copy of an object; arguments and errors as of `taken`."""
        taken = self.taken(key, place)
        return taken if isinstance(taken, ObjectCopy) else self._copy_of(taken, place)

    def opened(self, key: str, place: str, body: Any = None) -> ObjectCopy | ServedFile:
        """An object as it is to be read: of a small one the bytes in memory; arguments and errors as of `taken`.

        Args:
            key: of the object.
            place: its uri.
            body: what `fetched` or `begun` has given of it, if anything.
        """
        taken = body if body is not None else self.taken(key, place)
        if isinstance(taken, ObjectCopy | Arriving):
            return taken
        version = taken.version
        return InMemory(taken.body, lambda body: self._copy_of(ObjectBody(body, version), place))

    def fetched(self, key: str, place: str) -> "ObjectCopy | ObjectBody | None":
        """An object as of `taken`, whose beginning is asked for once; None where it can't be had."""
        from obstore.exceptions import BaseError

        try:
            meta, body = _beginning(self._store(), key)
            return self._given(key, place, meta, body)
        except (BaseError, OSError, CutOffError, OverwrittenError, UserError):
            return None  # it is said when it is read

    def begun(self, key: str, place: str) -> Arriving | None:
        """A large object, of which the first parts are on their way; None where it can't be had, or is not large.

        Its reading raises OverwrittenSliceError where the object has another version by then, or is gone.
        """
        from obstore.exceptions import BaseError

        store = self._store()
        try:
            first = store.get(key, options={"range": (0, PART_BYTES)})
        except (BaseError, OSError):
            return None  # it is said when it is read
        meta = first.meta
        if is_small(meta["size"]):
            return None
        beginning = [first]

        def fetch(start: int, end: int) -> Any:
            if start == 0 and beginning:  # its answer is there already; where it breaks off it is asked for again
                with suppress(BaseError, OSError, CutOffError):
                    return _whole(beginning.pop().bytes(), end)
            return self._pinned(lambda: self._asked_part(key, place, meta, start, end), place)

        def copied() -> ObjectCopy:
            ranges = [(0, meta["size"])]
            return self._pinned(
                lambda: self._filled(version_of(meta), lambda file: self.fill(file, key, place, meta, ranges)), place
            )

        return Arriving(meta["size"], version_of(meta), fetch, copied, PART_BYTES, _AT_ONCE)

    def _pinned(self, work: "Callable[[], Any]", place: str) -> Any:
        """What work returns that asks for one version. Raises OverwrittenSliceError where there is none by now."""
        try:
            return work()
        except (OverwrittenError, FileNotFoundError):
            raise OverwrittenSliceError(
                f"{place} was overwritten or deleted while it was read. Fix: write an object once, as whole."
            ) from None

    def taken(self, key: str, place: str) -> "ObjectCopy | ObjectBody":
        """The bytes of a small object; a copy of a larger one.

        Args:
            key: of the object.
            place: its uri.

        Raises:
            FileNotFoundError: there is no such object.
            Exception: the store did not answer, or the object was overwritten again and again; the wording's
                `unavailable`.
            UserError: the store refuses it; or there is no space for the copy.
        """
        for _ in range(_ATTEMPTS):
            with suppress(OverwrittenError):
                return self._taken(key, place)
        raise self._failures.unavailable(
            f"{place} was overwritten whenever it was read, {_ATTEMPTS} times. Fix: write an object once, as whole."
        )

    def version(self, key: str, place: str) -> str:
        """Which version an object has now; errors as of `copied`."""
        store = self._store()
        return self._failures.asked(lambda: version_of(store.head(key)), place)

    def _taken(self, key: str, place: str) -> "ObjectCopy | ObjectBody":
        store = self._store()
        return self._given(key, place, *self._failures.asked(lambda: _beginning(store, key), place))

    def _given(self, key: str, place: str, meta: Any, body: Any) -> "ObjectCopy | ObjectBody":
        """What is kept of an object of which this was answered first."""
        version = version_of(meta)
        if body is not None:
            return ObjectBody(body, version)
        return self._filled(version, lambda file: self.fill(file, key, place, meta, [(0, meta["size"])]))

    def _copy_of(self, taken: "ObjectBody", place: str) -> ObjectCopy:
        return self._filled(taken.version, lambda file: self._write(file, taken.body, 0, place))

    def _filled(self, version: str, fill: Callable[[ObjectCopy], None]) -> ObjectCopy:
        file = self.empty()
        try:
            fill(file)
        except BaseException:
            file.close()
            raise
        file.version = version
        return file

    def fill(self, file: io.FileIO, key: str, place: str, meta: Any, ranges: Iterable[tuple[int, int]]) -> None:
        """Copy ranges of one version of an object to the same places of a file, several parts at a time.

        Args:
            file: is written to.
            key: of the object.
            place: its uri.
            meta: of the version, as a request for the object has told it.
            ranges: start included, end excluded.

        Raises:
            OverwrittenError: the object has another version; the file may have some of the ranges.
            FileNotFoundError: and the others of `copied`.
        """
        self._store()  # opened here, once, and not by each of the threads

        def copy(part: tuple[int, int]) -> None:
            start, end = part
            self._write(file, self._asked_part(key, place, meta, start, end), start, place)

        _all_at_once(copy, [part for start, end in ranges for part in _parts(start, end)])

    def _asked_part(self, key: str, place: str, meta: Any, start: int, end: int) -> Any:
        return self._failures.asked(lambda: _part(self._store(), key, meta, start, end), place)

    def empty(self) -> ObjectCopy:
        """A file for a copy."""
        make_private_folder(self._scratch)
        descriptor, path = tempfile.mkstemp(dir=self._scratch)
        Path(path).unlink()
        return ObjectCopy(descriptor, "r+b")

    def _write(self, file: io.FileIO, body: Any, start: int, place: str) -> None:
        rest = memoryview(body)
        try:
            while rest:
                written = os.pwrite(file.fileno(), rest, start)
                rest, start = rest[written:], start + written
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(
                f"{place}: there is no space for a copy in {self._scratch}. Fix: free space there, or name another "
                "folder in SESSIONS_SCRATCH."
            ) from None


def is_small(size: int) -> bool:
    """Whether an object of so many bytes is kept in memory."""
    return size <= 2 * PART_BYTES


def most_ahead() -> int:
    """How many bytes may be fetched ahead: small objects of two parts and two, or a large one, in parts as ever."""
    return _AT_ONCE * PART_BYTES


def _beginning(store: "ObjectStore", key: str) -> tuple[Any, Any]:
    """Which version an object has; and all of it, if it is small."""
    answer = store.get(key)
    size = answer.meta["size"]
    return answer.meta, _whole(answer.bytes(), size) if is_small(size) else None


def _part(store: "ObjectStore", key: str, meta: Any, start: int, end: int) -> Any:
    """A part of a version of an object. Raises OverwrittenError where it has another one."""
    tag = meta["e_tag"]
    pinned: GetOptions = {"if_match": tag} if tag and not tag.startswith("W/") else {}
    answer = store.get(key, options={"range": (start, end), **pinned})
    if version_of(answer.meta) != version_of(meta):
        raise OverwrittenError(key)
    return _whole(answer.bytes(), end - start)


def _whole(body: Any, size: int) -> Any:
    """The bytes of an answer. Raises CutOffError where they are not as many as were asked for."""
    if (given := memoryview(body).nbytes) != size:
        raise CutOffError(f"it gave {given} bytes, and {size} were expected")
    return body


def _parts(start: int, end: int) -> Iterable[tuple[int, int]]:
    return ((each, min(each + PART_BYTES, end)) for each in range(start, end, PART_BYTES))


def _all_at_once(copy: Callable[[tuple[int, int]], None], parts: Sequence[tuple[int, int]]) -> None:
    """Copy several parts at a time; the first error ends the others."""
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="object")
    try:
        for _ in pool.map(copy, parts):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
