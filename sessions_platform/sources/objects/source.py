"""Landing files in an object store as a source: which objects there are now, and what is skipped.

Objects are found by listing what the path template allows, never by the time of their writing: a large upload that
began before others may end after them. Not here: names and partitions (`paths`), requests (`listing`, `copying`), and
what an object contains (`sources.files.reader`). The configuration is `contracts.sources.FilesSource`.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sessions_platform.contracts.path_template import ANY_FOLDERS
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.settings import BLOCK_BYTES, Settings
from sessions_platform.sources.base import NO_CURSORS, Cursors, Found, Skipped, Slice
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.files.landing_source import LandingSource
from sessions_platform.sources.files.paths import Place
from sessions_platform.sources.files.tree import Glob
from sessions_platform.sources.objects.copying import Copier
from sessions_platform.sources.objects.failures import Failures
from sessions_platform.sources.objects.listing import Listed, listed
from sessions_platform.sources.objects.nearby import what_is_near
from sessions_platform.sources.objects.opening import ObjectOpener
from sessions_platform.sources.objects.paths import ObjectPaths
from sessions_platform.sources.objects.store import open_store

if TYPE_CHECKING:
    from obstore.store import ObjectStore

Result = TypeVar("Result")

# Each partition that is asked for is listed by itself; of more, all are listed at once.
_MOST_PREFIXES = 100


class ObjectSource(LandingSource):
    """The landing objects of one stream.

    Names that begin with a dot, or end in .tmp, .part or ~, are unfinished uploads, as in folders.

    Args:
        stream: whose `source.files` is the path of objects.
        store: opens the bucket, once something is asked of it.
        scratch: the folder of copies of objects while these are read.
        block_bytes: how much of an object is parsed at once.
    """

    def __init__(
        self, stream: Stream, store: "Callable[[], ObjectStore]", scratch: Path, block_bytes: int = BLOCK_BYTES
    ) -> None:
        assert isinstance(stream.source, FilesSource)
        self._keys = ObjectPaths(stream)
        self._store = cache(store)
        self._failures = Failures(self._keys.objects, stream.source.store_options.give_up_after)
        copier = Copier(self._store, self._failures, scratch)
        opener = ObjectOpener(stream.source, self._keys, copier, scratch)
        super().__init__(stream, self._keys, opener, block_bytes)
        self._copier, self.will_read = copier, opener.will_read

    @classmethod
    def open(cls, stream: Stream, settings: Settings) -> "ObjectSource":
        """The implementation that `contracts.sources.FilesSource` names for objects."""
        assert isinstance(stream.source, FilesSource)
        assert stream.source.objects
        store = partial(open_store, stream.source.objects, stream.source.store_options)
        return cls(stream, store, settings.scratch, settings.block_bytes)

    def search(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> Found:
        """The objects, and what has such a name and can't be read. Raises SourceRefusedError."""
        wanted = None if landing_partitions is None else set(landing_partitions)
        if wanted is not None and len(wanted) > _MOST_PREFIXES:
            found = super().search(None, cursors)
            slices = [
                each for each in found.slices if each.landing_partition is None or each.landing_partition in wanted
            ]
            return Found(slices, found.skipped)
        return super().search(wanted, cursors)

    def partition_of(self, uri: str) -> str | None:
        """The landing partition that a uri states, whether its object exists or not; None where it states none."""
        return self._keys.partition_of(uri)

    def near(self) -> str:
        """A sentence on what lies near the landing objects, for where there is none."""
        pattern, root, store = self._keys.whole_pattern, self._keys.objects.root, self._store()
        near = self._asked(lambda: what_is_near(store, root, self._keys.prefix_of(pattern)), root)
        fix = "correct files in the stream's source, or put the objects there"
        return f"no object matches {self._files.files}; {near}. Fix: {fix}."

    def is_empty(self) -> bool:
        """Whether there is no landing object; it lists no further than the first."""
        pattern = self._keys.whole_pattern

        def first() -> Listed | None:
            return next((each for each, place in self._objects(pattern, None) if place.misfit is None), None)

        return self._asked(first, self._place_of(pattern)) is None

    def _matching(self, pattern: str, wanted: set[str] | None, skipped: dict[str, Skipped]) -> Iterator[list[Slice]]:
        """The objects, and what is skipped."""

        def skip(path: str, reason: str) -> None:
            uri = self._keys.uri_of(Path(path))
            skipped[uri] = Skipped(uri, reason)

        found = self._asked(lambda: list(self._objects(pattern, wanted)), self._place_of(pattern))
        for each, place in found:
            path = f"/{each.key}"
            if each.size == 0 and self._is_folder(each):
                continue
            if place.misfit:
                skip(path, place.misfit)
                continue
            slice_ = Slice(self._keys.uri_of(Path(path)), each.version + self._divided_as, place.partition)
            if slices := self._opener.with_members(path, slice_, skip):
                yield slices

    def _objects(self, pattern: str, wanted: set[str] | None) -> Iterator[tuple[Listed, Place]]:
        """The objects that match a pattern, and where each belongs; a server's error is raised amid them."""
        prefix = self._keys.prefix_of(pattern)
        rest = pattern.removeprefix(f"{prefix}/")
        matches = Glob(pattern).matches
        for each in listed(self._store(), prefix, is_flat="/" not in rest and ANY_FOLDERS not in rest):
            if matches(each.key) and (place := self._keys.place(each.key, wanted)):
                yield each, place

    def _is_folder(self, each: Listed) -> bool:
        """Whether an empty object is only the mark of a folder, which some tools make; its slash is not listed."""
        try:
            self._copier.version(each.key, self._keys.uri_of(Path(f"/{each.key}")))
        except FileNotFoundError:
            return True
        return False

    def _place_of(self, pattern: str) -> str:
        return f"{self._keys.objects.root}/{self._keys.prefix_of(pattern)}"

    def _asked(self, work: Callable[[], Result], place: str) -> Result:
        """As of `Failures.asked`; a store that stays away is an error that somebody has to look at."""
        self._store()
        try:
            return self._failures.asked(work, place)
        except SourceUnavailableError as given_up:
            raise SourceRefusedError(str(given_up)) from None
