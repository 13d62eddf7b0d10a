"""`build`: all definitions of the platform, for settings that are passed to it.

Here belongs which definitions there are. Not here: the definitions themselves, each in a module of its own.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import ConfigProblem
from sessions_platform.contracts.stream_folder import BrokenStream
from sessions_platform.orchestration.alert_sensor import alert_sensor
from sessions_platform.orchestration.assets import LAKE, stream_assets
from sessions_platform.orchestration.broken_streams import broken_asset, broken_sensor
from sessions_platform.orchestration.checks import sample_recomputation
from sessions_platform.orchestration.clean_up import clean_up_job
from sessions_platform.orchestration.dead_letters import dead_letter_jobs
from sessions_platform.orchestration.deliveries import deliver_job, target_asset, target_is_behind
from sessions_platform.orchestration.erase import erase_job
from sessions_platform.orchestration.io_managers import LakeIOManager
from sessions_platform.orchestration.jobs import stream_jobs
from sessions_platform.orchestration.loggers import json_lines, progress
from sessions_platform.orchestration.process import prepare_process
from sessions_platform.orchestration.purge import purge_job, purge_weekly
from sessions_platform.orchestration.report import report_asset
from sessions_platform.orchestration.resources import Platform, streams_of
from sessions_platform.orchestration.run_exports import ended_runs_sensor
from sessions_platform.orchestration.schedules import stream_schedules
from sessions_platform.orchestration.scores import score_assets, score_jobs, score_sensors
from sessions_platform.orchestration.sensors import interval, new_events, stale_sessions
from sessions_platform.orchestration.sources import check_source_hourly, check_source_job, source_is_fresh
from sessions_platform.orchestration.user_sessions import user_sessions_assets
from sessions_platform.orchestration.verification import verify_job, verify_nightly
from sessions_platform.settings import Settings


@cache
def resources(lake: Path) -> dict[str, Any]:
    """What the definitions need; once, because definitions merge only where each has the same objects."""
    platform = Platform()
    return {"platform": platform, LAKE: LakeIOManager(platform=platform, base_dir=str(lake))}


@dataclass(frozen=True)
class StreamDefinitions:
    """The definitions of one stream."""

    assets: list[Any]
    asset_checks: list[Any] = field(default_factory=list)
    jobs: list[Any] = field(default_factory=list)
    sensors: list[Any] = field(default_factory=list)
    schedules: list[Any] = field(default_factory=list)


def build(settings: Settings) -> dg.Definitions:
    """The assets, checks, jobs, sensors and schedules of every stream; a broken one has an asset that says why.

    Raises:
        UserError: the folder of the streams' files can't be read.
    """
    prepare_process()
    streams = streams_of(settings)
    seconds = interval(len(streams.usable))
    parts = [_or_stand_ins(stream, seconds) for stream in streams.usable.values()]
    parts += [_stand_ins_of(broken) for broken in streams.broken.values()]
    return dg.Definitions(
        assets=[asset for part in parts for asset in part.assets],
        asset_checks=[check for part in parts for check in part.asset_checks],
        jobs=[*(job for part in parts for job in part.jobs), purge_job()],
        sensors=[*(sensor for part in parts for sensor in part.sensors), alert_sensor(), *ended_runs_sensor()],
        schedules=[*(schedule for part in parts for schedule in part.schedules), purge_weekly()],
        resources=resources(settings.lake),
        loggers={"json": json_lines, "progress": progress},
        # A process for each step would cost seconds and gain nothing, because polars uses all cores.
        executor=dg.in_process_executor,
    )


def _or_stand_ins(stream: Stream, sensor_seconds: int) -> StreamDefinitions:
    try:
        return definitions_of(stream, sensor_seconds)
    except Exception as error:  # whatever it is, the other streams go on
        reason = f"its definitions can't be made: {type(error).__name__}: {error}"
        problem = ConfigProblem(stream.path, None, "file", reason, "correct the file")
        return _stand_ins_of(BrokenStream(stream.name, (problem,)))


def definitions_of(stream: Stream, sensor_seconds: int) -> StreamDefinitions:
    """The definitions of a stream, whose sensors are evaluated every so many seconds."""
    return StreamDefinitions(
        assets=[
            *(*stream_assets(stream), *user_sessions_assets(stream), report_asset(stream)),
            *score_assets(stream),
            *(target_asset(stream, target) for target in stream.targets),
        ],
        asset_checks=[sample_recomputation(stream), source_is_fresh(stream)],
        jobs=[
            *(*stream_jobs(stream), *dead_letter_jobs(stream)),
            *(clean_up_job(stream), verify_job(stream), erase_job(stream), check_source_job(stream)),
            *score_jobs(stream),
            *(deliver_job(stream, target) for target in stream.targets),
        ],
        sensors=[
            *(new_events(stream, sensor_seconds), stale_sessions(stream, sensor_seconds)),
            *score_sensors(stream, sensor_seconds),
            *(target_is_behind(stream, target) for target in stream.targets),
        ],
        schedules=[*stream_schedules(stream), verify_nightly(stream), check_source_hourly(stream)],
    )


def _stand_ins_of(broken: BrokenStream) -> StreamDefinitions:
    asset = broken_asset(broken)
    return StreamDefinitions(assets=[asset], sensors=[broken_sensor(broken, asset)])
