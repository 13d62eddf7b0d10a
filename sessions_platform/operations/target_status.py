"""What of a stream its targets lack, and why, by the ledger alone.

Not here: what is pending and stale in the warehouse itself (`status.py`), and deliveries (`pipeline/deliver.py`).
"""

from typing import Any

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.due import due_partitions


def target_statuses(context: StreamContext) -> dict[str, dict[str, Any]]:
    """The status of each target, by name."""
    return {target: target_status(context, target) for target in context.stream.targets}


def target_status(context: StreamContext, target: str) -> dict[str, Any]:
    """Where a target is, which partitions it lacks, and why the last delivery failed, where it did."""
    state, config = context.ledger.target_state(target), context.stream.targets[target]
    due = due_partitions(context, target)
    return {
        "type": config.kind,
        "place": config.place,
        "tables": config.tables,
        "partitions": len(due.last),
        "behind": due.partitions,
        "delivered_at": state.delivered_at,
        "failed_at": state.failed_at,
        "failure": state.failure,
    }


def target_hints(context: StreamContext) -> list[str]:
    """A sentence for each target whose last delivery failed."""
    failures = [context.ledger.target_state(target).failure for target in context.stream.targets]
    return [failure for failure in failures if failure]
