"""Schema drift of landing partitions: each compared with the contract and with the partition before it.

Here belongs which partitions are compared. What counts as drift is in `transforms/schema_drift.py`, and the check that
reports it in `quality.py`.
"""

from collections.abc import Sequence

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.validate import ValidatedPartition
from sessions_platform.transforms.schema_drift import NOTHING_OBSERVED, Drift, ObservedSchema, drift


def find_drift(context: StreamContext, validated: Sequence[ValidatedPartition]) -> dict[str, list[Drift]]:
    """How the observed schema of each partition differs from the contract and from the last partition before it.

    That one may be among `validated`, and is not published yet then. Partitions without rows are skipped.

    Args:
        context: the stream's.
        validated: the partitions of one run, in any order.

    Returns:
        The differences of each of these partitions, by landing partition.
    """
    own = {validation.landing_partition: validation.observed for validation in validated}
    drifts: dict[str, list[Drift]] = {}
    for partition, observed in own.items():
        published = context.ledger.observed_before(partition, besides=list(own))
        earlier = {key: schema for key, schema in own.items() if key < partition and schema.rows}
        earlier |= {key: ObservedSchema(**schema) for key, schema in published.items()}
        drifts[partition] = drift(observed, earlier[max(earlier)] if earlier else NOTHING_OBSERVED, context.stream)
    return drifts
