"""Files of Iceberg tables that nobody needs: of expired snapshots, and of deliveries that were killed.

The library forgets expired snapshots and leaves their files, so they are removed here: whatever is in the table's
folders of data and metadata, is named by no snapshot that is kept, and is older than snapshots are kept for. A younger
file may be of a commit that another process is about to make.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem
    from pyiceberg.table import Table


def remove_leftovers(table: "Table", keep_for: timedelta) -> None:
    """Forget snapshots that are older, but for the current one, and remove older files that none names."""
    from pyiceberg.exceptions import CommitFailedException

    limit = datetime.now(UTC) - keep_for
    with suppress(CommitFailedException, FileNotFoundError):  # a twin does the same; the rest is for the next delivery
        table.maintenance.expire_snapshots().older_than(limit).commit()
        needed = {_path_of(path) for path in _named(table.refresh())}
        for files, path in _old_files(table, limit):
            if path not in needed:
                with suppress(FileNotFoundError):
                    files.delete_file(path)


def _named(table: "Table") -> Iterator[str]:
    """All files that the table's metadata name."""
    yield table.metadata_location
    yield from (entry.metadata_file for entry in table.metadata.metadata_log)
    yield from (file.statistics_path for file in table.metadata.statistics)  # which other engines make
    yield from (file.statistics_path for file in table.metadata.partition_statistics)
    manifests = dict[str, None]()
    for snapshot in table.metadata.snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path not in manifests:
                manifests[manifest.manifest_path] = None
                yield manifest.manifest_path
                for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                    yield entry.data_file.file_path


def _old_files(table: "Table", limit: datetime) -> "Iterator[tuple[FileSystem, str]]":
    """The files of the table's own location that are older, each with its file system."""
    from pyarrow.fs import FileSelector, FileType
    from pyiceberg.io.pyarrow import PyArrowFileIO

    assert isinstance(table.io, PyArrowFileIO)
    scheme, netloc, root = PyArrowFileIO.parse_location(table.location(), table.io.properties)
    files = table.io.fs_by_scheme(scheme, netloc)
    for folder in ("data", "metadata"):  # nothing else that somebody keeps there
        for file in files.get_file_info(FileSelector(f"{root}/{folder}", recursive=True, allow_not_found=True)):
            if file.type == FileType.File and file.mtime and file.mtime < limit:
                yield files, file.path


def _path_of(location: str) -> str:
    """A file's path as its file system tells it."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    return PyArrowFileIO.parse_location(location)[2]
