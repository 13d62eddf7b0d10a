"""What stands in for a stream that can't be used, so that it is seen, and all other streams go on.

Here belong an asset and a sensor that fail with the stream's mistakes. Not here: how mistakes are found
(`contracts/stream_file.py`, `contracts/stream_folder.py`), and what a usable stream has (`build.py`).
"""

import dagster as dg

from sessions_platform.contracts.stream_folder import BrokenStream, read_streams
from sessions_platform.orchestration.assets import GROUP
from sessions_platform.settings import Settings

STREAM_FILE = "stream_file"
_TICK_SECONDS = 300


def broken_asset(broken: BrokenStream) -> dg.AssetsDefinition:
    """An asset that has the mistakes as its description, and fails with them."""
    mistakes = str(broken.error)

    @dg.asset(
        key=dg.AssetKey([broken.name, STREAM_FILE]),
        group_name=GROUP,
        description=f"This stream can't be used, and has no other assets until its file is corrected.\n\n{mistakes}",
    )
    def stream_file() -> None:
        raise dg.Failure(mistakes, allow_retries=False)

    return stream_file


def broken_sensor(broken: BrokenStream, asset: dg.AssetsDefinition) -> dg.SensorDefinition:
    """A sensor that is on from the start and fails with the mistakes, until the file is corrected."""

    @dg.sensor(
        name=f"{broken.name}__{STREAM_FILE}",
        target=asset,
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="The stream can't be used: its ticks say why.",
    )
    def report() -> dg.SkipReason:
        settings = Settings.from_environment()
        streams = read_streams(settings.streams, settings.home, settings.pseudonym_key)
        if broken.name in streams.broken:
            raise streams.broken[broken.name].error
        paths = ", ".join(sorted({str(problem.file) for problem in broken.problems}))
        return dg.SkipReason(f"{paths}: corrected. Fix: reload the definitions (in the UI: Deployment, Reload).")

    return report
