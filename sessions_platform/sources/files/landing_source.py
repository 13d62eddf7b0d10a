"""What sources of landing files do alike, wherever the files are: find slices, and read them.

Here: which patterns are searched, the order of what was found, and how a slice is read. Not here: looking for files
(`sources.files.source`, `sources.objects.source`), and what a file contains (`sources.files.reader`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from operator import attrgetter
from typing import TYPE_CHECKING

from sessions_platform.contracts.formats import FORMATS, FormatOptions, Layout
from sessions_platform.contracts.sources import DIVIDING_KEYS, LATER_DIVIDING_KEYS, FilesSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.base import NO_CURSORS, Cursors, Found, Quarantine, Skipped, Slice, divided_as
from sessions_platform.sources.files.opening import Opener, is_archive
from sessions_platform.sources.files.paths import LandingPaths

if TYPE_CHECKING:
    from sessions_platform.sources.files.reader import FileReading


class LandingSource(ABC):
    """The landing files of one stream. Each file is a slice; it needs no cursors.

    Args:
        stream: whose source is of the type `files`.
        paths: of its landing files.
        opener: opens them.
        block_bytes: how much of a file is read at once.
    """

    def __init__(self, stream: Stream, paths: LandingPaths, opener: Opener, block_bytes: int) -> None:
        assert isinstance(stream.source, FilesSource)
        self._files, self._paths, self._opener = stream.source, paths, opener
        self._block_bytes = block_bytes
        self._required_fields = stream.required_fields

    @abstractmethod
    def _matching(self, pattern: str, wanted: set[str] | None, skipped: dict[str, Skipped]) -> Iterator[list[Slice]]:
        """The files that match a pattern, of these landing partitions, each with the members that it has.

        What has to be skipped is added to `skipped`.
        """

    def find(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> list[Slice]:
        """The files that exist now, by uri; of these landing partitions, or all. Undated ones always.

        The members of an archive come behind it, in its order, so that a compressed tar is unpacked once.
        """
        return list(self.search(landing_partitions, cursors).slices)

    def search(
        self,
        landing_partitions: Iterable[str] | None = None,
        cursors: Cursors = NO_CURSORS,  # noqa: ARG002  files need none
    ) -> Found:
        """The same files, and what has such a name and can't be read.

        Files whose name looks like one of the pattern, and states no landing partition, are skipped with the reason.
        """
        patterns, wanted = self._paths.patterns(landing_partitions)
        files: dict[str, Slice] = {}
        members: dict[str, list[Slice]] = {}  # apart, for hardly any of very many files is an archive
        skipped: dict[str, Skipped] = {}
        for pattern in patterns:
            for file, *inside in self._matching(pattern, wanted, skipped):
                files[file.uri] = file
                if inside:
                    members[file.uri] = inside
        return Found(
            [slice_ for uri in sorted(files) for slice_ in (files[uri], *members.get(uri, ()))],
            sorted(skipped.values(), key=attrgetter("place", "reason")),
        )

    def read(self, slice_: Slice, quarantine: Quarantine) -> "FileReading":
        """A reading of a file that `find` returned. Iterating it raises FileNotFoundError where the file vanished."""
        # formats and codecs take longer to import than files to find
        from sessions_platform.sources.files.reader import FileReading
        from sessions_platform.sources.formats.registry import open_format

        has_rows = not is_archive(slice_)
        options = self._files if has_rows else FormatOptions.model_validate({"format": "ndjson"})
        file_format = open_format(options, self._required_fields if has_rows else None)
        if has_rows and self._files.preset:
            from sessions_platform.sources.files.told_by import of_preset

            file_format = of_preset(file_format, self._files)
        opened = partial(self._opener.to_read, slice_)
        path, may_grow = self._paths.path_of(slice_.uri), self._paths.may_grow
        return FileReading(
            path, self._files, file_format, quarantine, self._block_bytes, opened, slice_.span, may_grow=may_grow
        )

    def is_empty(self) -> bool:
        """Whether there is no landing file; it looks no further than the first."""
        return next(self._matching(self._paths.whole_pattern, None, {}), None) is None

    @cached_property
    def _divided_as(self) -> str:
        """What ends fingerprints: the keys by which files are divided into rows or refused. With others, they are read
        again."""
        needed = self._required_fields if FORMATS[self._files.format].layout is Layout.delimited else {}
        stated = self._files.model_dump(mode="json", include=DIVIDING_KEYS)
        divides = {key: value for key, value in stated.items() if key not in LATER_DIVIDING_KEYS or value is not None}
        return divided_as({**divides, "needed": needed})
