"""Enrichments: further columns of accepted events, computed from their own.

Here: the protocol (``base``), one file for each enrichment, and how the table's entries are resolved
(``registry``). The table itself is ``contracts.enrichments``; the stage that applies them, between
deduplication and the write of the events, is ``pipeline.enrich``.
"""
