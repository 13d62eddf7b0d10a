"""What can be wrong between a stream's lake, ledger and warehouse, in words that verification and repair share.

Not here: how it is found (`verify.py`), and what is done about it (`repair.py`).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sessions_platform.storage.ledger.ledger import LakeFile  # brings the database's driver

QUARANTINED = "quarantined_files"
SCORE_MODELS = "score_models"


class Kind(StrEnum):
    """What is wrong: a file is not there or has other bytes, or two of the three disagree about a number of rows."""

    missing = "missing"
    damaged = "damaged"
    counts = "counts"


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        kind: what is wrong.
        asset: whose rows are concerned; `quarantined_files` for copies of landing files, `score_models` for models.
        partition: the key of the partition; empty for copies, and for models the name of the score.
        path: the file in the lake; empty where numbers differ.
        rows: how many rows are concerned.
        detail: what was found.
        file: what the ledger records of the file; None where it is no file of rows.
    """

    kind: Kind
    asset: str
    partition: str
    path: str
    rows: int
    detail: str
    file: "LakeFile | None" = None

    @property
    def record(self) -> dict[str, Any]:
        """As a flat record, for people and for JSON."""
        names = ("kind", "asset", "partition", "path", "rows", "detail")
        return {name: str(value) if isinstance(value := getattr(self, name), Kind) else value for name in names}


def train_again(stream: str, model: Mapping[str, Any]) -> str:
    """The command that makes the model of a score anew, of a stream and the record of a problem with its file."""
    return f"sessions-platform train {stream} {model['partition']}"
