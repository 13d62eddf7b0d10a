"""Landing files as a source: which there are now, and what is skipped on the way.

Not here: their names and the partitions that these state (`sources.files.paths`), opening them
(`sources.files.opening`) and what they contain (`sources.files.reader`). The configuration is
`contracts.sources.FilesSource`.
"""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sessions_platform.contracts.stream import Stream
from sessions_platform.settings import BLOCK_BYTES, Settings
from sessions_platform.sources.base import Skipped, Slice
from sessions_platform.sources.files.beginnings import digests_of_beginnings
from sessions_platform.sources.files.landing_source import LandingSource
from sessions_platform.sources.files.nearby import what_is_near
from sessions_platform.sources.files.opening import Opener, fingerprint_of_state, is_archive
from sessions_platform.sources.files.paths import LandingPaths, absolute


class FileSource(LandingPaths, LandingSource):
    """The landing files of one stream that are in a folder.

    Hidden files, and names that end in .tmp, .part or ~, are unfinished uploads: they are ignored until renamed.
    """

    def __init__(self, stream: Stream, block_bytes: int = BLOCK_BYTES, scratch: Path | None = None) -> None:
        LandingPaths.__init__(self, stream)
        opener = Opener(self._source, LandingPaths(stream), scratch or self._home / "scratch")
        LandingSource.__init__(self, stream, self, opener, block_bytes)

    @classmethod
    def open(cls, stream: Stream, settings: Settings) -> "FileSource":
        """The implementation that `contracts.sources.FilesSource` names."""
        return cls(stream, settings.block_bytes, settings.scratch)

    def beginnings(self, uri: str, sizes: Sequence[int]) -> tuple[list[str | None], int]:
        """The SHA-256 of the first so many bytes of a file, None of more than it has; and its size. Raises OSError."""
        with self._opener.file(self.path_of(uri)) as handle:
            return list(digests_of_beginnings(handle, sizes)), os.fstat(handle.fileno()).st_size

    def uris_at(self, path: Path) -> list[str]:
        """The uris of all slices at a path: of an archive, its own and those of its members."""
        uri = self.uri_of(path)
        return [slice_.uri for slice_ in self._opener.with_members(str(path), Slice(uri, "", None), lambda *_: None)]

    def opened(self, uri: str) -> io.FileIO:
        """The bytes of a slice. Raises OSError where there is none."""
        return self._opener.content(self._opener.slice_of(uri), self.path_of(uri))

    def is_archived(self, slice_: Slice) -> bool:
        """Whether a slice is an archive or a member of one."""
        return self.parts(slice_.uri)[1] is not None or is_archive(slice_)

    def near(self) -> str:
        """A sentence on what lies near the landing files, for where there is none."""
        fix = "correct files in the stream's source, or put the files there"
        near = what_is_near(absolute(self._root), self.whole_pattern)
        return f"no file matches {self._source.files}; {near}. Fix: {fix}."

    def _matching(self, pattern: str, wanted: set[str] | None, skipped: dict[str, Skipped]) -> Iterator[list[Slice]]:
        """The files, and what is skipped: odd links, and names that are not UTF-8."""
        tree = self.tree()

        def skip(path: str, reason: str) -> None:
            place = self._uri(path).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
            skipped[place] = Skipped(place, reason)

        below = len(tree.root.rstrip("/")) + 1
        for path in tree.matching(pattern.removeprefix(self._fixed), skip):
            place = self.place(self._fixed + path[below:], wanted)
            if place is None:
                continue
            if not _is_utf8(path):
                skip(path, "its name is not UTF-8")
            elif state := tree.file_state(path, skip):
                if place.misfit:
                    skip(path, place.misfit)
                else:
                    slice_ = Slice(self._uri(path), fingerprint_of_state(state) + self._divided_as, place.partition)
                    if slices := self._opener.with_members(path, slice_, skip):
                        yield slices


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
