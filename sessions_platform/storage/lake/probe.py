"""Whether a lake's file system does what the lake needs of it, tried out with a file that is deleted again."""

import uuid

from sessions_platform.storage.lake.filesystem import Filesystem

_FOLDER = "~probe"  # no stream has such a name


def probe(filesystem: Filesystem) -> bool:
    """Write, read, list and delete a file.

    Returns:
        Whether a second file of the same name was refused.

    Raises:
        UserError: something is not allowed or wrongly configured.
        LakeUnavailableError: an object store does not answer.
    """
    path = f"{_FOLDER}/{uuid.uuid4().hex}"
    try:
        _put(filesystem, path, b"first")
        filesystem.forget(path)
        refuses = not _put(filesystem, path, b"second")
        filesystem.forget(path)
        refuses &= filesystem.read(path, 0, 5) == b"first" and path in filesystem.list(_FOLDER)
    finally:
        filesystem.delete(path)
    return refuses


def _put(filesystem: Filesystem, path: str, content: bytes) -> bool:
    with filesystem.draft(_FOLDER) as draft:
        draft.write_bytes(content)
        return filesystem.put_if_absent(path, draft)
