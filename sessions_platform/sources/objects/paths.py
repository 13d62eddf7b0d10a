"""Keys of objects as paths: s3://bucket/landing/a.ndjson is /landing/a.ndjson below a root that is the bucket.

So what follows from a path and the stream's template is the same as for local files (`sources.files.paths`).
"""

from pathlib import Path

from sessions_platform.contracts.object_store import Objects
from sessions_platform.sources.files.paths import LandingPaths, fixed_folders


class ObjectPaths(LandingPaths):
    """The paths of one stream's landing objects."""

    @property
    def objects(self) -> Objects:
        """The store and the bucket."""
        objects = self._source.objects
        assert objects is not None
        return objects

    def key_of(self, path: Path) -> str:
        """The key of the object at a path."""
        return path.as_posix().removeprefix("/")

    @staticmethod
    def prefix_of(pattern: str) -> str:
        """The prefix of all keys that match a pattern, of whole names, without a slash at its end."""
        return fixed_folders(pattern).rstrip("/")

    def landing_file(self, uri: str) -> Path:
        """The path of a uri that names no member."""
        return Path(uri.removeprefix(self.objects.root))

    def _anchored(self, files: str) -> tuple[Path, str]:  # noqa: ARG002
        return Path("/"), self.objects.path

    def _uri(self, path: str) -> str:
        return f"{self.objects.root}{path}"
