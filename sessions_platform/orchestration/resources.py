"""The Dagster resource by which assets, sensors and the IO manager get the contexts of streams.

Not here: what a context is (`pipeline/context.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import load_streams
from sessions_platform.orchestration.heartbeats import beating
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings


class Platform(dg.ConfigurableResource):
    """The contexts of all streams, for the settings in the SESSIONS_… variables.

    It has no configuration of its own, so that no connection string is stored in a run's configuration.
    """

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Platform"]:
        """While a run uses it, the run's process says in the ledger that it is alive."""
        with beating(context.instance, context.run), super().yield_for_execution(context) as platform:
            yield platform

    def stream_context(self, stream: str) -> StreamContext:
        """The context of the stream of this name. Raises KeyError if there is none."""
        return _contexts(Settings.from_environment())[stream]

    def has(self, stream: str) -> bool:
        """Whether there is a stream of this name."""
        return stream in _contexts(Settings.from_environment())


def streams_of(settings: Settings) -> list[Stream]:
    """All streams, sorted by name. Raises UserError if a file has problems."""
    return load_streams(settings.streams, settings.home)


@cache
def _contexts(settings: Settings) -> dict[str, StreamContext]:
    return {stream.name: StreamContext.open(stream, settings) for stream in streams_of(settings)}
