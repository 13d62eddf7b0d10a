"""The sensor that looks for alerts within Dagster; what it can't see, such as a dead daemon, cron has to look for.

Not here: the look itself (`alerts.py`).
"""

import dagster as dg

from sessions_platform.orchestration.alerts import look
from sessions_platform.orchestration.failures import read_again
from sessions_platform.settings import Settings

_TICK_SECONDS = 60


def alert_sensor() -> dg.SensorDefinition:
    """Looks for alerts each minute, and tells the channels; it requests no runs."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=_TICK_SECONDS,
        description="Tells the channels of SESSIONS_ALERT_URL_… what is wrong, and when it is over.",
    )
    def alerts() -> dg.SkipReason:
        told = read_again(lambda: look(Settings.from_environment()))
        if told is None:
            return dg.SkipReason("another process is looking")
        failed = "".join(f"; {name}: {reason}" for name, reason in told.failed.items())
        return dg.SkipReason(f"{len(told.firing)} alerts fire, {sum(told.sent.values())} messages were sent{failed}")

    return alerts
