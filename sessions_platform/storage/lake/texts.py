"""Texts in the lake: files that are no Parquet, named by the SHA-256 of their bytes, which is compared at each reading.

Clean-up leaves them alone, as it does quarantined files. Not here: which text is current (the ledger).
"""

import hashlib

from sessions_platform.errors import UserError
from sessions_platform.storage.lake.lake import Lake


def write_text(lake: Lake, folder: str, text: str) -> str:
    """Write a text as a file of the folder, and return its path.

    The same text is stored once; a file of it that is damaged by now is replaced.
    """
    content = text.encode()
    path = f"{folder}/{_digest(content)}"
    if lake.exists(path) and _content(lake, path) != content:
        lake.remove(path)
    return lake.quarantine(folder, [content])


def read_text(lake: Lake, path: str, fix: str) -> str:
    """The text of a file.

    Args:
        lake: where it is.
        path: of the file.
        fix: how it is made anew, as a clause.

    Raises:
        UserError: it is missing, or its bytes are not those that were written.
    """
    try:
        content = _content(lake, path)
    except FileNotFoundError:
        raise UserError(f"lake file {path}: it is missing. Fix: {fix}.") from None
    if _digest(content) != path.rpartition("/")[2]:
        raise UserError(f"lake file {path}: its bytes are not those that were written. Fix: {fix}.")
    return content.decode()


def is_whole_text(lake: Lake, path: str) -> bool:
    """Whether a file that is there has the bytes that its name says."""
    return _digest(_content(lake, path)) == path.rpartition("/")[2]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _content(lake: Lake, path: str) -> bytes:
    return lake.filesystem.read(path, 0, lake.filesystem.size(path))
