"""Resolve the configurations of ``contracts.enrichments`` to their implementations."""

import pkgutil

from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.transforms.enrich.base import Enrichment


def open_enrichment(config: EnrichmentConfig) -> Enrichment:
    """The implementation that a configuration names. Its module is imported at this call, not before."""
    return pkgutil.resolve_name(config.implementation)(config)
