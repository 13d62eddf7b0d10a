"""Where the Parquet files of a target are: in a local folder, or in a bucket of an object store.

In both a file never changes once it has its name, and what is seen of a delivery is decided by one small file, the
manifest, which is replaced as a whole. Not here: what the files and the manifest contain (`parquet_folder.py`).
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from sessions_platform.contracts.object_store import Objects
from sessions_platform.contracts.targets import ParquetTarget
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.objects.failures import Failures, OverwrittenError, Wording
from sessions_platform.sources.objects.store import open_store
from sessions_platform.storage.lake.bucket import IN_ENVIRONMENT, patience, wording
from sessions_platform.storage.lake.errors import LakeRefusedError, LakeUnavailableError
from sessions_platform.storage.lake.filesystem import sync
from sessions_platform.storage.lake.object_store import ObjectFilesystem
from sessions_platform.storage.warehouses.base import Target, TargetError
from sessions_platform.storage.warehouses.local_files import local_path, one_writer, told

if TYPE_CHECKING:
    from obstore.store import ObjectStore

MANIFEST = "manifest.json"
_DRAFT = ".tmp"


class Place(Protocol):
    """Files by path, whose parts are separated by slashes."""

    def writing(self) -> AbstractContextManager[None]:
        """What has to be held while files are written."""
        ...

    def manifest(self) -> bytes | None:
        """The manifest as it is now; None where there is none."""
        ...

    def files(self, table: str) -> Iterator[str]:
        """The paths of all files of a table's partitions, those of deliveries that were killed, too."""
        ...

    def draft(self, path: str) -> AbstractContextManager[Path]:
        """A local path for the content of a new file."""
        ...

    def add(self, path: str, draft: Path) -> None:
        """Keep a draft as the file of a path that no other file has."""
        ...

    def publish(self, manifest: bytes) -> bool:
        """Replace the manifest that was last read here; False where another one has replaced it since."""
        ...

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files, those that are there."""
        ...

    def local(self, path: str) -> AbstractContextManager[Path]:
        """A local path with the content of a file."""
        ...


@contextmanager
def opened_place(target: Target[ParquetTarget]) -> Iterator[Place]:
    """The place of a target, for one thing that is done there. Its errors are raised as a TargetError."""
    objects = target.config.objects
    if objects is None:
        with told(target):
            yield FolderPlace(target, local_path(target))
        return
    try:
        with told(target), TemporaryDirectory(prefix="parquet-") as scratch:
            yield BucketPlace(target, objects, Path(scratch))
    except (_RefusedError, _UnavailableError, SourceRefusedError) as error:
        raise TargetError(f"{target.shown}: {error}") from None


class _RefusedError(LakeRefusedError):
    """The target's bucket can't be used as it is configured; not the lake's, from which rows come meanwhile."""


class _UnavailableError(LakeUnavailableError):
    """The target's bucket has not answered."""


class FolderPlace:
    """A local folder. New files get their names just before the manifest does, so that few readers see both states."""

    def __init__(self, target: Target[ParquetTarget], root: Path) -> None:
        self._target, self._root, self._added = target, root, list[str]()

    @contextmanager
    def writing(self) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        with one_writer(self._target, self._root / ".lock"):
            yield

    def manifest(self) -> bytes | None:
        try:
            return (self._root / MANIFEST).read_bytes()
        except FileNotFoundError:
            return None

    def files(self, table: str) -> Iterator[str]:
        for path in sorted((self._root / table).glob("*=*/*")):
            yield path.relative_to(self._root).as_posix()

    @contextmanager
    def draft(self, path: str) -> Iterator[Path]:
        draft = self._draft_of(path)
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
        finally:
            if path not in self._added:
                self.remove([f"{path}{_DRAFT}"])

    def add(self, path: str, draft: Path) -> None:
        sync(draft)
        self._added.append(path)

    def publish(self, manifest: bytes) -> bool:
        for path in self._added:
            self._draft_of(path).rename(self._root / path)
            sync((self._root / path).parent)
        draft = self._draft_of(MANIFEST)
        draft.write_bytes(manifest)
        sync(draft)
        draft.replace(self._root / MANIFEST)
        sync(self._root)
        return True

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files, drafts of theirs, and the folders that have none then."""
        for path in paths:
            (self._root / path).unlink(missing_ok=True)
            self._draft_of(path).unlink(missing_ok=True)
        for folder in {(self._root / path).parent for path in paths}:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        yield self._root / path

    def _draft_of(self, path: str) -> Path:
        return self._root / f"{path}{_DRAFT}"


class BucketPlace:
    """Objects below a prefix. There is no lock: the manifest is replaced only if it is still the one that was read."""

    def __init__(self, target: Target[ParquetTarget], objects: Objects, scratch: Path) -> None:
        options, self._objects = target.config.store_options, objects
        said, key = _wording(objects.scheme, target.name), f"targets.{target.name}.store"

        def opens(sending: int | None = None) -> "ObjectStore":
            client, retries = patience(sending)
            return open_store(objects, options, key, client, {"retry_timeout": retries})

        self._opens, self._store = opens, cache(opens)
        self._failures = Failures(objects, options.give_up_after, said)
        self._files = ObjectFilesystem(objects, scratch, opens, options.give_up_after, said)
        self._seen: Any = None  # the version of the manifest that was last read

    @contextmanager
    def writing(self) -> Iterator[None]:
        yield

    def manifest(self) -> bytes | None:
        store = self._store()

        def read() -> tuple[bytes, Any]:
            found = store.get(self._key)
            seen = {name: found.meta[name] for name in ("e_tag", "version") if found.meta[name]}
            return bytes(found.bytes()), seen

        try:
            content, self._seen = self._failures.asked(read, self._url)
        except FileNotFoundError:
            self._seen = None
            return None
        return content

    def files(self, table: str) -> Iterator[str]:
        yield from (path for path in self._files.list(table) if path.count("/") == 2 and "=" in path)

    def draft(self, path: str) -> AbstractContextManager[Path]:
        return self._files.draft(path.rpartition("/")[0])

    def add(self, path: str, draft: Path) -> None:
        self._files.put_if_absent(path, draft)  # where there is one, its answer was lost: the name is a random one
        self._files.forget(path)  # so that what is read is what the store has

    def publish(self, manifest: bytes) -> bool:
        """As `Place.publish`; False, too, where the answer of a success was lost, so that it is done again."""
        store, mode = self._opens(len(manifest)), self._seen or "create"
        try:
            self._failures.asked(lambda: store.put(self._key, manifest, mode=mode, use_multipart=False), self._url)
        except (FileExistsError, FileNotFoundError, OverwrittenError):
            return False
        return True

    def remove(self, paths: Sequence[str]) -> None:
        self._files.delete_all(paths)

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        with self._files.local(path) as copy:
            yield copy
        self._files.forget(path)

    @property
    def _key(self) -> str:
        return f"{self._objects.path}/{MANIFEST}"

    @property
    def _url(self) -> str:
        return f"{self._objects.root}/{self._key}"


def _wording(scheme: str, target: str) -> Wording:
    """What sentences about a target's bucket say of its configuration."""
    store = f"targets.{target}.store"
    return replace(
        wording(scheme),
        unusable="can't be written or read",
        place=f"targets.{target}.path",
        credentials={
            "s3": f"{store}.access_key and secret_key, or {IN_ENVIRONMENT['s3']}",
            "gs": f"{store}.service_account, or {IN_ENVIRONMENT['gs']}",
            "az": f"{store}.account and account_key, or {IN_ENVIRONMENT['az']}",
        },
        endpoint=f"{store}.endpoint",
        region=f"{store}.region",
        authority=f"{store}.ca_file",
        without_tls=f"allow_http: true in {store}",
        archived="restore it, and let no rule of the bucket archive the target",
        odd_key="delete that object: it is none of the platform's",
        refused=_RefusedError,
        unavailable=_UnavailableError,
    )
