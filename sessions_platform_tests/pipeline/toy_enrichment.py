"""An enrichment for tests: the host of a page, the depth of its path, and the landing partition of the event."""

import polars as pl


class PageEnrichment:
    def enrich(self, events: pl.DataFrame) -> pl.DataFrame:
        host, path = (pl.col("page_url").str.extract(r"^https?://([^/]+)(.*)$", group) for group in (1, 2))
        return events.with_columns(
            page_host=host,
            page_depth=path.str.count_matches("/[^/]").cast(pl.Int64),
            landed_in=pl.col("landing_partition"),
        )
