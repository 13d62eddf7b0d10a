"""Resolve the configurations of ``contracts.enrichments`` to their implementations."""

import pkgutil
from collections.abc import Callable

import polars as pl

from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.transforms.enrich.distinct import ByDistinct


def open_enrichment(config: EnrichmentConfig, seen: Callable[[pl.DataFrame], None] | None = None) -> ByDistinct:
    """The implementation that a configuration names. Its module is imported at this call, not before.

    `seen` is told what was computed, as `ByDistinct` has it.
    """
    return ByDistinct(config, pkgutil.resolve_name(config.implementation)(config), seen)
