"""The whole platform, as Dagster loads it."""

from functools import cache

import dagster as dg

from sessions_platform.orchestration.build import build
from sessions_platform.settings import Settings


@dg.definitions
def platform() -> dg.Definitions:
    return _built(Settings.from_environment())


@cache
def _built(settings: Settings) -> dg.Definitions:
    """Once a process: for one run Dagster asks six times for the same definitions."""
    return build(settings)
