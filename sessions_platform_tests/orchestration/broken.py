"""The platform with a planted defect: validation silently drops a row. Dagster loads it from the command line."""

import dagster as dg

from sessions_platform.orchestration.build import build
from sessions_platform.pipeline import deduplicate as deduplicate_module
from sessions_platform.settings import Settings

_settle = deduplicate_module.deduplicate


@dg.definitions
def platform() -> dg.Definitions:
    def settle_and_lose(*args, **kwargs):
        events, conflicts, duplicates = _settle(*args, **kwargs)
        return events.head(-1), conflicts, duplicates

    deduplicate_module.deduplicate = settle_and_lose
    return build(Settings.from_environment())
