"""The streams of a folder as a part of somebody else's Dagster project.

Here belongs what is left to that project: its executor, its loggers, its run storage, and whom it calls when a run
fails. So there is neither the weekly purge of runs nor the sensor of alerts. Not here: the definitions of one stream
(`build.py`), and the project of the platform alone (`definitions.py`).
"""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import ConfigProblem, StreamError, line_of
from sessions_platform.contracts.stream_folder import read_streams
from sessions_platform.orchestration.asset_keys import source_key, upstream_keys
from sessions_platform.orchestration.build import definitions_of, resources
from sessions_platform.orchestration.resources import give_streams
from sessions_platform.orchestration.sensors import interval
from sessions_platform.settings import Settings


def definitions_for(folder: str | PathLike[str], key_prefix: str | Sequence[str] = ()) -> dg.Definitions:
    """What `sessions_platform.definitions_for` gives."""
    settings = replace(Settings.from_environment(), streams=(Path(folder).absolute(),))
    prefix = key_prefix if isinstance(key_prefix, str) else "/".join(map(str, key_prefix))
    streams = read_streams(settings.streams, settings.home, settings.pseudonym_key)
    if problems := [problem for broken in streams.broken.values() for problem in broken.problems]:
        raise StreamError(problems)
    return definitions_of_streams([_prefixed(stream, prefix) for stream in streams.usable.values()], settings)


def definitions_of_streams(streams: Iterable[Stream], settings: Settings, known: int = 0) -> dg.Definitions:
    """The definitions of streams.

    Args:
        streams: which.
        settings: the platform's.
        known: of how many streams of the project one knows, some of which are to be given later.

    Raises:
        StreamError: another file of the process has given a stream of the same name.
    """
    # of this package's own use of Dagster's beta features, and nobody else's
    warnings.filterwarnings("ignore", category=dg.BetaWarning, module=r"sessions_platform\.")
    own = list(streams)
    seconds = interval(max(give_streams(own), known) + 1)
    parts = [definitions_of(stream, seconds) for stream in own]
    return dg.Definitions(
        assets=[asset for part in parts for asset in part.assets],
        asset_checks=[check for part in parts for check in part.asset_checks],
        jobs=[job for part in parts for job in part.jobs],
        sensors=[sensor for part in parts for sensor in part.sensors],
        schedules=[schedule for part in parts for schedule in part.schedules],
        resources=resources(settings.lake),
    )


def _prefixed(stream: Stream, prefix: str) -> Stream:
    """With a prefix before its own. Raises StreamError if its source then has a key that it states as `upstream`."""
    prefixed = stream.with_key_prefix(prefix)
    source = source_key(prefixed)
    if source in upstream_keys(prefixed):
        reason, fix = f"{source.to_user_string()} is an asset of this stream", "name the asset that lands the files"
        line = line_of(stream.path, ("upstream",))
        raise StreamError([ConfigProblem(stream.path, line, "upstream", reason, fix)])
    return prefixed
