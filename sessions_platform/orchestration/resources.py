"""The Dagster resource by which assets, sensors and the IO manager get the contexts of streams.

Not here: what a context is (`pipeline/context.py`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from threading import Lock

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import ConfigProblem, StreamError, line_of
from sessions_platform.contracts.stream_folder import Streams, read_streams
from sessions_platform.orchestration.asset_keys import key
from sessions_platform.orchestration.heartbeats import beating
from sessions_platform.orchestration.loaded_streams import require_requested_version
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings


class Platform(dg.ConfigurableResource):
    """The contexts of all streams, for the settings in the SESSIONS_… variables.

    It has no configuration of its own, so that no connection string is stored in a run's configuration.
    """

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Let a run begin. Raises OtherVersionError if its stream's file has changed since a sensor requested it."""
        run = context.run
        if run and run.parent_run_id is None:  # who starts a run again means the file as it is now
            require_requested_version(run.tags, _stream_named)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Platform"]:
        """While a run uses it, the run's process says in the ledger that it is alive."""
        # streams are given by others' projects, whose executors may start a process for each step
        alive = beating(context.instance, context.run, of_a_step=bool(_given))
        with alive, super().yield_for_execution(context) as platform:
            yield platform

    def stream_context(self, stream: str) -> StreamContext:
        """The context of the stream of this name. Raises UserError if there is none, or if it is broken."""
        return _contexts(Settings.from_environment()).named(stream)

    def stream_of(self, asset: dg.AssetKey) -> Stream | None:
        """The stream that an asset is one of, by the asset's key; None for other people's assets.

        Raises UserError if the stream is broken.
        """
        if len(asset.path) < 2:
            return None
        name = asset.path[-2]
        if name not in _given and not streams_of(Settings.from_environment()).has(name):
            return None
        stream = _stream_named(name)
        return stream if key(stream, asset.path[-1]) == asset else None


def give_streams(streams: Iterable[Stream]) -> int:
    """Have `Platform` know streams of other places than the settings' folders, in this process.

    Returns:
        How many were given until now.

    Raises:
        StreamError: another file has given a stream of the same name, and both would be one schema of the warehouse.
    """
    for stream in streams:
        other = _given.get(stream.name)
        if other and other.path != stream.path and other.path.exists():
            reason, fix = f"{other.path} has the same name", "rename one of the two"
            line = line_of(stream.path, ("name",))
            raise StreamError([ConfigProblem(stream.path, line, "name", reason, fix)])
        _given[stream.name] = stream
    _contexts.cache_clear()
    return len(_given)


# By name. There is one for the process, as there is one `Platform` for all that use it.
_given: dict[str, Stream] = {}


def _stream_named(name: str) -> Stream:
    return _given[name] if name in _given else streams_of(Settings.from_environment()).named(name)


def streams_of(settings: Settings) -> Streams:
    """All streams, as this process read them first. Raises UserError if their folder can't be read."""
    return _contexts(settings).streams


class _Contexts:
    """One reading of the streams' files, and the contexts of those that were asked for, or that were given."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: dict[str, StreamContext] = {}
        self._opening = Lock()

    def named(self, name: str) -> StreamContext:
        with self._opening:
            if name not in self._opened:
                self._opened[name] = StreamContext.open(_stream_named(name), self._settings)
            return self._opened[name]

    @cached_property
    def streams(self) -> Streams:
        return read_streams(self._settings.streams, self._settings.home, self._settings.pseudonym_key)


@cache
def _contexts(settings: Settings) -> _Contexts:
    return _Contexts(settings)
