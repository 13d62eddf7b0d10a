"""The platform with a planted defect: validation silently drops a row. Dagster loads it from the command line."""

import dagster as dg

from sessions_platform.orchestration.build import build
from sessions_platform.pipeline import deduplicate as deduplicate_module
from sessions_platform.settings import Settings

_deduplicate = deduplicate_module.deduplicate


@dg.definitions
def platform() -> dg.Definitions:
    def deduplicate_and_lose(*args, **kwargs):
        result = _deduplicate(*args, **kwargs)
        return result._replace(events=result.events.head(-1))

    deduplicate_module.deduplicate = deduplicate_and_lose
    return build(Settings.from_environment())
