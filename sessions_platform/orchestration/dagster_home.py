"""Where the folder of the Dagster instance is. Not here: how it is made (`runs.py`)."""

from collections.abc import Mapping
from pathlib import Path

from sessions_platform.settings import Settings


def dagster_home_folder(settings: Settings, environment: Mapping[str, str]) -> Path:
    """$DAGSTER_HOME, else a folder within the platform's home, whether it exists or not."""
    return Path(environment.get("DAGSTER_HOME") or settings.home / "dagster")
