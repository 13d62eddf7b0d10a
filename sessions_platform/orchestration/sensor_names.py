"""The names of a stream's sensors, without Dagster: those who look from outside have to know which sensors there are.

Dagster's storage keeps a sensor that was switched on as running once the definitions no longer have it, and nothing
evaluates it any more. Not here: the sensors (`sensors.py`, `deliveries.py`, `scores.py`).
"""

from sessions_platform.contracts.server_source import ServerSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_folder import Streams

NEW_FILES, NEW_RECORDS, STALE_SESSIONS = "new_files", "new_records", "stale_sessions"
STALE_SCORES = "stale_scores"


def behind(target: str) -> str:
    """The sensor of a target."""
    return f"{target}_is_behind"


def of_source(stream: Stream) -> str:
    """The sensor of a stream's source."""
    return NEW_RECORDS if isinstance(stream.source, ServerSource) else NEW_FILES


def sensor_names(stream: Stream) -> set[str]:
    """Those of all sensors of a stream, as Dagster has them."""
    own = (of_source(stream), STALE_SESSIONS, *map(behind, stream.targets), *([STALE_SCORES] if stream.scores else []))
    return {f"{stream.name}__{name}" for name in own}


def may_exist(sensor: str, streams: Streams) -> bool:
    """Whether the definitions may have a sensor: of a broken stream any, of one without a file none."""
    stream, separator, _ = sensor.partition("__")
    if not separator or stream in streams.broken:
        return True
    return stream in streams.usable and sensor in sensor_names(streams.usable[stream])
