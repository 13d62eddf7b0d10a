"""The code location that Dagster loads: all definitions, for the settings in the environment.

Here belongs what makes them load quickly in Dagster's processes. The definitions are built in
`orchestration/build.py`.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import dagster as dg

from sessions_platform.allocator import configure_allocator
from sessions_platform.settings import Settings


@dg.definitions
def platform() -> dg.Definitions:
    """All definitions, for the settings that the environment has when Dagster asks for them."""
    configure_allocator()
    return _built(Settings.from_environment())


@cache
def _built(settings: Settings) -> dg.Definitions:
    """Built once a process, because for one run Dagster asks six times for the same definitions."""
    with _excluded_from_garbage_collection():
        from sessions_platform.orchestration.build import build  # brings polars and all of the platform

        return build(settings)


@contextmanager
def _excluded_from_garbage_collection() -> Iterator[None]:
    """Exclude all objects that exist at the end, above all modules, from later garbage collection.

    Dagster, polars and pydantic create hundreds of thousands of objects that live as long as the process. To
    traverse them while they are created, during the run and at its end takes a good part of a small run's time.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
