"""Opens landing objects: each as a copy of one version in the scratch folder; archives and their members, too.

Not here: copying (`copying`), and what is in an archive (`sources.files.archives`).
"""

import io
import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.sources.base import Slice
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.files.opening import Opener
from sessions_platform.sources.objects.copying import Copier, ObjectCopy
from sessions_platform.sources.objects.paths import ObjectPaths

if TYPE_CHECKING:
    from sessions_platform.sources.archives.members import Listing
    from sessions_platform.sources.files.archives import Archives


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

    def file(self, path: Path) -> ObjectCopy:
        """A copy of an object. Raises FileNotFoundError where there is none by now."""
        key, uri = self._object_paths.key_of(path), self._object_paths.uri_of(path)
        if self._source.archive is None:
            return self._copier.copied(key, uri)
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
