"""Partitions that Dagster shows as failed.

A partition stays red until a run materializes it, also where nothing of it is pending: where a run failed that had more
partitions than needed it, was requested for an older state of the stream's file, or was killed after its commit. The
sensors request such partitions like pending ones. Here belongs which they are; not here: what is pending
(`operations/status.py`), and the requests (`sensors.py`).
"""

from collections.abc import Mapping, Sequence

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.asset_keys import key
from sessions_platform.orchestration.jobs import PAST, RANGE_END, RANGE_START
from sessions_platform.orchestration.partitions import partitions_definition

_PARTITION = "dagster/partition"
_RUNS_SEEN = 100  # the last failed ones: what failed before them and still is red is materialized by hand
_FAILED = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])


class FailedPartitions:
    """The failed partitions of some assets, looked for again only after a run has failed or while there are any."""

    def __init__(self, stream: Stream, assets: Sequence[str], definition: dg.TimeWindowPartitionsDefinition) -> None:
        self._keys = [key(stream, asset) for asset in assets]
        self._definition = definition
        self._none_since: object = None  # the last failure, at which there was no failed partition

    def of(self, instance: dg.DagsterInstance) -> list[str]:
        """The keys of the partitions that at least one of the assets has as failed, in order.

        Those of failed backfills are left out: an ordinary run would make them whole without asking for the past.
        """
        records = instance.get_run_records(_FAILED, limit=_RUNS_SEEN, order_by="update_timestamp")
        if not records:
            return []
        last = (records[0].dagster_run.run_id, records[0].update_timestamp)
        if last == self._none_since:
            return []
        tags = [record.dagster_run.tags for record in records]
        tried = sorted({key for each in tags if PAST not in each for key in self._tried(each)})
        failed = {key for asset in self._keys for key in self._failed(instance, asset, tried)}
        self._none_since = None if failed else last
        return sorted(failed)

    def _tried(self, tags: Mapping[str, str]) -> Sequence[str]:
        """The partitions of a run, as far as they are partitions of these assets."""
        first, last = (tags.get(tag, tags.get(_PARTITION, "")) for tag in (RANGE_START, RANGE_END))
        if not (self._definition.has_partition_key(first) and self._definition.has_partition_key(last)):
            return []
        return self._definition.get_partition_keys_in_range(dg.PartitionKeyRange(first, last))

    def _failed(self, instance: dg.DagsterInstance, asset: dg.AssetKey, tried: Sequence[str]) -> list[str]:
        statuses = instance.get_status_by_partition(asset, tried, self._definition) or {}
        return [key for key, status in statuses.items() if status is dg.AssetPartitionStatus.FAILED]


def failed_partitions(stream: Stream, assets: Sequence[str], *, landing: bool) -> FailedPartitions:
    """Those of a stream's assets on one axis."""
    calendar = stream.landing_calendar if landing else stream.session_calendar
    return FailedPartitions(stream, assets, partitions_definition(calendar))
