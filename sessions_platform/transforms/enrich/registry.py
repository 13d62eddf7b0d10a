"""Resolve the configurations of ``contracts.enrichments`` to their implementations."""

import pkgutil
from collections.abc import Callable
from pathlib import Path

import polars as pl

from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.transforms.enrich.base import Maker
from sessions_platform.transforms.enrich.distinct import ByDistinct


def open_enrichment(
    config: EnrichmentConfig, seen: Callable[[pl.DataFrame], None] | None = None, scratch: Path | None = None
) -> ByDistinct:
    """The implementation that a configuration names. Its module is imported at this call, not before.

    `seen` is told what was computed, as `ByDistinct` has it. `scratch` is the folder of temporary files; by default the
    system's.
    """
    make: Maker = pkgutil.resolve_name(config.implementation)
    values = make(config, scratch) if config.copies_files else make(config)
    return ByDistinct(config, values, seen)
