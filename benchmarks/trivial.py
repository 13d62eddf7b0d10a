"""A Dagster project with as many assets as a stream has, partitioned as those are, and nothing in them."""

import dagster as dg

from benchmarks.data import DAY_ONE

_DAILY = dg.DailyPartitionsDefinition(DAY_ONE)
_ONE_RUN = dg.BackfillPolicy.single_run()


def _asset(name: str, *deps: str) -> dg.AssetsDefinition:
    above = [dg.AssetKey(["trivial", dep]) for dep in deps]

    @dg.asset(key=["trivial", name], deps=above, partitions_def=_DAILY, backfill_policy=_ONE_RUN)
    def nothing() -> dg.MaterializeResult:
        return dg.MaterializeResult()

    return nothing


@dg.multi_asset(
    specs=[dg.AssetSpec(["trivial", name], deps=[["trivial", "raw_events"]]) for name in ("events", "rejected_events")],
    partitions_def=_DAILY,
    backfill_policy=_ONE_RUN,
)
def judged_events():
    for name in ("events", "rejected_events"):
        yield dg.MaterializeResult(asset_key=["trivial", name])


definitions = dg.Definitions(
    assets=[
        _asset("raw_events"),
        judged_events,
        _asset("sessionized_events", "events"),
        _asset("sessions", "sessionized_events"),
    ],
    executor=dg.in_process_executor,
)
