"""The platform with a planted defect: judging drops a row in silence. Dagster loads it from the command line."""

import dagster as dg

from sessions_platform.journey import judged_rows
from sessions_platform.orchestration.build import build
from sessions_platform.settings import Settings

_settle = judged_rows.settle


@dg.definitions
def platform() -> dg.Definitions:
    def settle_and_lose(*args, **kwargs):
        events, conflicts, duplicates = _settle(*args, **kwargs)
        return events.head(-1), conflicts, duplicates

    judged_rows.settle = settle_and_lose
    return build(Settings.from_environment())
