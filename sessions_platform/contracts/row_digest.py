"""The digest of a table's rows: what the ledger has of rows that were delivered to a target.

It is plain Python, because what only compares digests does without polars. Not here: how it is computed
(`transforms.row_digests`).
"""

from dataclasses import dataclass

_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class RowDigest:
    """How many rows there are, and the sums of their two hashes, modulo 2 to the power of 64."""

    rows: int = 0
    first: int = 0
    second: int = 0

    def __add__(self, other: "RowDigest") -> "RowDigest":
        sums = (self.first + other.first) & _MASK, (self.second + other.second) & _MASK
        return RowDigest(self.rows + other.rows, *sums)

    def __str__(self) -> str:
        return f"{self.rows}:{self.first:016x}{self.second:016x}"

    @classmethod
    def of(cls, text: str) -> "RowDigest":
        """The digest of which this is the text. Raises ValueError for any other text."""
        rows, digits = text.split(":")
        return cls(int(rows), int(digits[:16], 16), int(digits[16:], 16))
