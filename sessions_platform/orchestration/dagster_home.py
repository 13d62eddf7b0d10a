"""The folder of the Dagster instance: where it is, and how it is made.

It imports no Dagster, so that `dev` starts Dagster at once. Not here: the instance itself (`runs.py`).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from sessions_platform.settings import Settings, SettingsError, make_home, make_private_folder

_DAGSTER_YAML = Path(__file__).with_name("dagster.yaml")


def dagster_home_folder(settings: Settings, environment: Mapping[str, str]) -> Path:
    """$DAGSTER_HOME, else a folder within the platform's home, whether it exists or not."""
    return Path(environment.get("DAGSTER_HOME") or settings.home / "dagster")


def dagster_home(settings: Settings, environment: Mapping[str, str]) -> Path:
    """The folder of the Dagster instance: $DAGSTER_HOME, else one within the platform's home, created if missing.

    Raises:
        SettingsError: $DAGSTER_HOME names no folder, or no absolute path; Dagster takes no other.
    """
    home = dagster_home_folder(settings, environment)
    if environment.get("DAGSTER_HOME"):
        if not (home.is_absolute() and home.is_dir()):
            raise SettingsError(
                f"DAGSTER_HOME: {home} is no absolute path of a folder. Fix: make the folder, or unset DAGSTER_HOME."
            )
        return home
    make_home(settings.home)
    make_private_folder(home)
    shutil.copyfile(_DAGSTER_YAML, home / "dagster.yaml")
    return home
