"""Where the lake of these settings is kept: the one place that knows which file systems there are."""

from sessions_platform.settings import Settings
from sessions_platform.storage.lake.filesystem import Filesystem, LocalFilesystem


def open_filesystem(settings: Settings) -> Filesystem:
    """The file system of the lake; nothing is asked of it yet."""
    if settings.lake_url is None:
        return LocalFilesystem(settings.lake)
    from sessions_platform.contracts.object_store import Objects
    from sessions_platform.storage.lake.object_store import ObjectFilesystem

    scheme, _, rest = settings.lake_url.partition("://")
    bucket, _, prefix = rest.partition("/")
    return ObjectFilesystem(Objects(scheme, bucket, prefix), settings.scratch)
