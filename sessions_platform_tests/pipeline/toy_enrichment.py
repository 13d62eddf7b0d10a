"""An enrichment for tests: the host of a page, the depth of its path, and the landing partition of the event."""

from collections.abc import Mapping
from typing import ClassVar

import polars as pl

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.transforms.enrich.base import Values


class Pages(EnrichmentConfig):
    implementation: ClassVar[str] = "sessions_platform_tests.pipeline.toy_enrichment:pages"
    adds: ClassVar[Mapping[str, ColumnType]] = {
        "page_host": ColumnType.string,
        "page_depth": ColumnType.integer,
        "landed_in": ColumnType.string,
    }

    @property
    def reads(self) -> tuple[str, ...]:
        return ("page_url", "landing_partition")


def pages(_: Pages) -> Values:
    return of_pages


def of_pages(inputs: pl.DataFrame) -> pl.DataFrame:
    host, path = (pl.col("page_url").str.extract(r"^https?://([^/]+)(.*)$", group) for group in (1, 2))
    return inputs.with_columns(
        page_host=host,
        page_depth=path.str.count_matches("/[^/]").cast(pl.Int64),
        landed_in=pl.col("landing_partition"),
    )
