"""Opens landing objects, each in one version: in memory, while it arrives, or as a copy on the disk; archives, too.

Not here: copying (`copying`), and what is in an archive (`sources.files.archives`).
"""

import io
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from sessions_platform.contracts.formats import FORMATS
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.sources.base import Slice
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.files.opening import Opener
from sessions_platform.sources.files.served import ServedFile
from sessions_platform.sources.objects.ahead import Ahead
from sessions_platform.sources.objects.arriving import Arriving
from sessions_platform.sources.objects.copying import Copier, ObjectBody, ObjectCopy, is_small, most_ahead
from sessions_platform.sources.objects.listing import size_in, version_in
from sessions_platform.sources.objects.paths import ObjectPaths

if TYPE_CHECKING:
    from sessions_platform.sources.archives.members import Listing
    from sessions_platform.sources.files.archives import Archives

# Of a larger object no copy is made ahead, since the scratch folder would have two such copies at once.
_LARGEST_AHEAD = 1 << 30


class ObjectOpener(Opener):
    """Opens the landing objects of one stream.

    Args:
        source: its keys `archive` and those of archives' limits.
        paths: of the stream's landing objects.
        copier: of the stream's store.
        scratch: the folder of copies.
    """

    def __init__(self, source: FilesSource, paths: ObjectPaths, copier: Copier, scratch: Path) -> None:
        super().__init__(source, paths, scratch)
        self._object_paths, self._copier = paths, copier
        self._kept: tuple[Path, ObjectCopy] | None = None  # an archive, while its members are read

        def fetch(key: str) -> Arriving | ObjectCopy | ObjectBody | None:
            place = paths.uri_of(Path(f"/{key}"))
            return copier.begun(key, place) if key in self._arriving else copier.fetched(key, place)

        self._arriving: set[str] = set()  # objects that are read while they arrive
        self._ahead = Ahead(fetch, source.store_options.give_up_after, most_ahead())

    def will_read(self, slices: Iterable[Slice]) -> None:
        """These are opened next, in this order: some are fetched while the one before them is read.

        A large one of text is read while it arrives: whoever announces it begins anew where it is overwritten.
        """
        if self._source.archive is None:
            sizes = {self._key_of(slice_): size_in(slice_.fingerprint) for slice_ in slices}
            is_text = FORMATS[self._source.format].is_text
            self._arriving = {key for key, size in sizes.items() if is_text and not is_small(size)}
            may_be_ahead = (key for key, size in sizes.items() if key in self._arriving or size <= _LARGEST_AHEAD)
            self._ahead.expect({key: sizes[key] for key in may_be_ahead})

    def to_read(self, slice_: Slice, path: Path) -> io.FileIO | ServedFile:
        """The bytes of an object, or of a member. Raises FileNotFoundError where there is none by now."""
        if self._source.archive is not None:
            return self.content(slice_, path)
        key, place = self._key_of(slice_), self._object_paths.parts(slice_.uri)[0]
        body = self._ahead.take(key)
        if body is None and key in self._arriving:
            body = self._copier.begun(key, place)
        if body is not None and body.version != version_in(slice_.fingerprint):
            body.close()  # it may have been fetched before that version was found: it is asked for once more
            body = None
        return self._copier.opened(key, place, body)

    def _key_of(self, slice_: Slice) -> str:
        return self._object_paths.key_of(self._object_paths.landing_file(self._object_paths.parts(slice_.uri)[0]))

    def file(self, path: Path) -> ObjectCopy:
        """A copy of an object. Raises FileNotFoundError where there is none by now."""
        key, uri = self._object_paths.key_of(path), self._object_paths.uri_of(path)
        if self._kept is None or self._kept[0] != path or self._copier.version(key, uri) != self._kept[1].version:
            self._keep(path, self._copier.copied(key, uri))
        assert self._kept
        kept = self._kept[1]
        again = ObjectCopy(os.dup(kept.fileno()), "rb")
        again.version = kept.version
        return again

    def _keep(self, path: Path, copy: ObjectCopy) -> None:
        """Keep a copy instead of the one before it, as long as this object lives."""
        if self._kept:
            self._kept[1].close()
        self._kept = (path, copy)
        weakref.finalize(self, copy.close)

    def fingerprint(self, handle: io.FileIO) -> str:
        """The version of the object that a copy is of."""
        return handle.version if isinstance(handle, ObjectCopy) else super().fingerprint(handle)

    def _listing(self, archives: "Archives", path: str, slice_: Slice) -> "Listing | None":
        """What is in an object, which is copied once for that in each process."""
        name, version = path.rpartition("/")[2], slice_.fingerprint.partition(":")[0]
        if known := archives.remembered(name, version):
            return known.listing
        try:
            return super()._listing(archives, path, slice_)
        except SourceUnavailableError as given_up:
            raise SourceRefusedError(str(given_up)) from None  # it must not be taken for no archive
