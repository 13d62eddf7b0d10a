"""The whole platform, as Dagster loads it."""

import dagster as dg

from sessions_platform.orchestration.build import build
from sessions_platform.settings import Settings


@dg.definitions
def platform() -> dg.Definitions:
    return build(Settings.from_environment())
