"""Resolve the entries of ``contracts.enrichments.ENRICHMENTS`` to their implementations."""

import pkgutil

from sessions_platform.contracts.enrichments import ENRICHMENTS
from sessions_platform.transforms.enrich.base import Enrichment


def open_enrichment(name: str) -> Enrichment:
    """The implementation of an enrichment of the table. Its module is imported at this call, not before."""
    return pkgutil.resolve_name(ENRICHMENTS[name].implementation)()
