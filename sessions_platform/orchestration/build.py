"""`build`: all definitions of the platform, for settings that are passed to it.

Here belongs which definitions there are. Not here: the definitions themselves, each in a module of its own.
"""

import dagster as dg

from sessions_platform.orchestration.assets import LAKE, stream_assets
from sessions_platform.orchestration.checks import sample_recomputation
from sessions_platform.orchestration.dead_letters import dead_letter_jobs
from sessions_platform.orchestration.io_managers import LakeIOManager
from sessions_platform.orchestration.jobs import stream_jobs
from sessions_platform.orchestration.loggers import json_lines, progress
from sessions_platform.orchestration.process import prepare_process
from sessions_platform.orchestration.resources import Platform, streams_of
from sessions_platform.orchestration.schedules import stream_schedules
from sessions_platform.orchestration.sensors import new_files, stale_sessions
from sessions_platform.orchestration.verification import verify_job, verify_nightly
from sessions_platform.settings import Settings


def build(settings: Settings) -> dg.Definitions:
    """The assets, checks, jobs, sensors and schedules of every stream.

    Raises:
        UserError: a stream's file has problems; the message lists all of them.
    """
    prepare_process()
    streams = streams_of(settings)
    platform = Platform()
    return dg.Definitions(
        assets=[asset for stream in streams for asset in stream_assets(stream)],
        asset_checks=[sample_recomputation(stream) for stream in streams],
        jobs=[
            job for stream in streams for job in (*stream_jobs(stream), *dead_letter_jobs(stream), verify_job(stream))
        ],
        sensors=[sensor(stream) for stream in streams for sensor in (new_files, stale_sessions)],
        schedules=[schedule for stream in streams for schedule in (*stream_schedules(stream), verify_nightly(stream))],
        resources={"platform": platform, LAKE: LakeIOManager(platform=platform, base_dir=str(settings.lake))},
        loggers={"json": json_lines, "progress": progress},
        # A process for each step would cost seconds and gain nothing, because polars uses all cores.
        executor=dg.in_process_executor,
    )
