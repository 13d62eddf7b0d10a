"""What is wrong with a lake file that can't be used, as a sentence that names the file, its partition and the fix.

Not here: how damage is noticed (`checksums.py`), and how a file is made anew (`operations/repair.py`).
"""

from sessions_platform.errors import UserError


class LakeFileError(UserError):
    """A lake file is missing or damaged.

    Args:
        path: the file's path within the lake: stream, asset, partition, name.
        what: what is wrong with it.
    """

    def __init__(self, path: str, what: str) -> None:
        self.path, self.what = path, what
        stream, asset, *partition = [*path.split("/")[:-1], ""][:3]
        of = f", of {asset} {partition[0]}".rstrip() if asset else ""
        super().__init__(
            f"lake file {path}{of}: {what}. Fix: run `sessions-platform verify {stream} --repair`, "
            f"which makes it anew from what it was made of."
        )


class MissingFileError(LakeFileError, FileNotFoundError):
    """The ledger records a lake file that is not there."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "it is missing")


class DamagedFileError(LakeFileError):
    """The bytes of a lake file are not those that were written."""


class ChecksumError(ValueError):
    """Bytes of a file are not those that were written; the message says which."""


class LakeRefusedError(UserError):
    """The lake's object store can't be used as it is configured; the message names it and the fix, and no secret."""


class LakeUnavailableError(RuntimeError):
    """The lake's object store has not answered for as long as it is tried. The next run does what was not recorded.

    It is no ConnectionError, because steps and commands would repeat all of that time, five times.
    """
