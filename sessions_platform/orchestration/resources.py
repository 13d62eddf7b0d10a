"""The Dagster resource by which assets, sensors and the IO manager get the contexts of streams.

Not here: what a context is (`pipeline/context.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

import dagster as dg

from sessions_platform.contracts.stream_folder import Streams, read_streams
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
            require_requested_version(run.tags, streams_of(Settings.from_environment()))

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Platform"]:
        """While a run uses it, the run's process says in the ledger that it is alive."""
        with beating(context.instance, context.run), super().yield_for_execution(context) as platform:
            yield platform

    def stream_context(self, stream: str) -> StreamContext:
        """The context of the stream of this name. Raises UserError if there is none, or if it is broken."""
        return _contexts(Settings.from_environment()).named(stream)

    def has(self, stream: str) -> bool:
        """Whether there is a stream of this name, broken or not."""
        streams = streams_of(Settings.from_environment())
        return stream in streams.usable or stream in streams.broken


def streams_of(settings: Settings) -> Streams:
    """All streams, as this process read them first. Raises UserError if their folder can't be read."""
    return _contexts(settings).streams


class _Contexts:
    """One reading of the streams' files, and the contexts of those that were asked for."""

    def __init__(self, settings: Settings) -> None:
        self.streams = read_streams(settings.streams, settings.home, settings.pseudonym_key)
        self._settings = settings
        self._opened: dict[str, StreamContext] = {}
        self._opening = Lock()

    def named(self, name: str) -> StreamContext:
        with self._opening:
            if name not in self._opened:
                self._opened[name] = StreamContext.open(self.streams.named(name), self._settings)
            return self._opened[name]


@cache
def _contexts(settings: Settings) -> _Contexts:
    return _Contexts(settings)
