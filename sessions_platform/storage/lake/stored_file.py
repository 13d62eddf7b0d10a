"""What the ledger records of a lake file: its path, its length, and the checksum that its name contains."""

import re
from typing import NamedTuple

_NAMED = re.compile(r"-([0-9a-f]{8})\.parquet$")


def checksum_in(path: str) -> str | None:
    """The checksum in the name of a lake file; None where it was written before there were checksums."""
    named = _NAMED.search(path)
    return named[1] if named else None


class StoredFile(NamedTuple):
    """A Parquet file of the lake: its path there, its number of rows and its length in bytes."""

    path: str
    rows: int
    bytes: int

    @property
    def checksum(self) -> str | None:
        """What its bytes are compared with when they are read (`checksums.py`); None for a file of an older version."""
        return checksum_in(self.path)
