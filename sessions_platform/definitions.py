"""The whole platform, as Dagster loads it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import dagster as dg

from sessions_platform.allocator import configure_allocator
from sessions_platform.settings import Settings


@dg.definitions
def platform() -> dg.Definitions:
    configure_allocator()
    return _built(Settings.from_environment())


@cache
def _built(settings: Settings) -> dg.Definitions:
    """Once a process: for one run Dagster asks six times for the same definitions."""
    with _made_to_stay():
        from sessions_platform.orchestration.build import build  # brings pandera, and with it pandas

        return build(settings)


@contextmanager
def _made_to_stay() -> Iterator[None]:
    """Have the garbage collector pass over what stands at the end, modules above all, now and ever after.

    Dagster, polars, pandera and pandas make hundreds of thousands of objects that stay as long as the process.
    To look through them while they are made, during the run and at its end takes a good part of a small run's time.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
