"""Resolve the configurations of ``contracts.enrichments`` to their implementations."""

import pkgutil

from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.transforms.enrich.distinct import ByDistinct


def open_enrichment(config: EnrichmentConfig) -> ByDistinct:
    """The implementation that a configuration names. Its module is imported at this call, not before."""
    return ByDistinct(config, pkgutil.resolve_name(config.implementation)(config))
