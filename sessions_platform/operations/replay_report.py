"""What a replay reports: the outcome of each repaired row, and the document that the command line prints.

Nothing here contains a value of a payload, because reports are logged. Not here: how outcomes are determined
(`replay.py`, `replay_plan.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

_REASON_SHOWN = ("code", "column", "rule")  # not the value: it is of the payload, which no log may contain


class ReplayOutcome(StrEnum):
    """What a replay does with a repaired row."""

    accepted = "accepted"  # ingested; in a dry run: it would be
    rejected = "rejected"  # it would be rejected again
    unchanged = "unchanged"  # its payload is the one that was rejected
    replayed = "replayed"  # the same repair was replayed before
    pending = "pending"  # another repair of the row is not validated yet
    resolved = "resolved"  # nothing is left to repair
    discarded = "discarded"
    expired = "expired"


NOT_REPLAYED = (ReplayOutcome.rejected, ReplayOutcome.unchanged)


@dataclass(frozen=True)
class RowOutcome:
    """The outcome of one repaired row.

    `where` is the line of the file, or the entry of the configuration, that has the row; `reasons` have code, column
    and rule.
    """

    rejection_id: str
    where: str
    outcome: ReplayOutcome
    reasons: list[dict[str, str]]

    @property
    def reasons_in_a_line(self) -> str:
        """The reasons as text, separated by semicolons."""
        return "; ".join(" ".join(filter(None, reason.values())) for reason in self.reasons)


@dataclass(frozen=True)
class Replay:
    """The outcome of each row, and the landing partitions that are pending now."""

    dry_run: bool
    outcomes: list[RowOutcome]
    landing_partitions: list[str]

    @property
    def not_replayed(self) -> list[RowOutcome]:
        """The rows that would be rejected again, and so were not ingested."""
        return [row for row in self.outcomes if row.outcome in NOT_REPLAYED]

    @property
    def counts(self) -> dict[str, int]:
        """How many rows had each outcome; of those that any row had."""
        outcomes = [row.outcome for row in self.outcomes]
        return {outcome.value: outcomes.count(outcome) for outcome in ReplayOutcome if outcome in outcomes}

    @property
    def document(self) -> dict[str, Any]:
        """The whole report as JSON: counts, pending partitions, and each row that was not replayed with its reasons."""
        not_replayed = [
            {"rejection_id": row.rejection_id, "where": row.where, "outcome": row.outcome.value, "reasons": row.reasons}
            for row in self.not_replayed
        ]
        return {
            "dry_run": self.dry_run,
            **self.counts,
            "landing_partitions": self.landing_partitions,
            "not_replayed": not_replayed,
        }

    @property
    def summary(self) -> str:
        """A sentence for a replay that left rows behind."""
        rest = "the others would be ingested" if self.dry_run else "the others were ingested"
        return (
            f"{len(self.not_replayed)} of {len(self.outcomes)} rows would be rejected again, and are not ingested; "
            f"{rest}."
        )


def without_values(reasons: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Rejection reasons with code, column and rule alone."""
    return [{part: reason[part] for part in _REASON_SHOWN} for reason in reasons]
