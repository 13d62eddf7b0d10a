"""An enrichment for tests: the host of a page, the depth of its path, and the landing partition of the event."""

from collections.abc import Mapping
from typing import ClassVar

import polars as pl

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.enrichment import EnrichmentConfig


class Pages(EnrichmentConfig):
    implementation: ClassVar[str] = "sessions_platform_tests.pipeline.toy_enrichment:PageEnrichment"
    adds: ClassVar[Mapping[str, ColumnType]] = {
        "page_host": ColumnType.string,
        "page_depth": ColumnType.integer,
        "landed_in": ColumnType.string,
    }


class PageEnrichment:
    def __init__(self, _: Pages) -> None:
        pass

    def enrich(self, events: pl.DataFrame) -> pl.DataFrame:
        host, path = (pl.col("page_url").str.extract(r"^https?://([^/]+)(.*)$", group) for group in (1, 2))
        return events.with_columns(
            page_host=host,
            page_depth=path.str.count_matches("/[^/]").cast(pl.Int64),
            landed_in=pl.col("landing_partition"),
        )
