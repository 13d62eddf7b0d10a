"""The folder of the Dagster instance: where it is, and how it is made.

It imports no Dagster, so that `dev` starts Dagster at once. Not here: the instance itself (`runs.py`).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from sessions_platform.settings import Settings, make_home, make_private_folder

_DAGSTER_YAML = Path(__file__).parents[2] / "dagster.yaml"


def dagster_home_folder(settings: Settings, environment: Mapping[str, str]) -> Path:
    """$DAGSTER_HOME, else a folder within the platform's home, whether it exists or not."""
    return Path(environment.get("DAGSTER_HOME") or settings.home / "dagster")


def dagster_home(settings: Settings, environment: Mapping[str, str]) -> Path:
    """The folder of the Dagster instance: $DAGSTER_HOME, else one within the platform's home, created if missing."""
    home = dagster_home_folder(settings, environment)
    if environment.get("DAGSTER_HOME"):
        return home
    make_home(settings.home)
    make_private_folder(home)
    shutil.copyfile(_DAGSTER_YAML, home / "dagster.yaml")
    return home
