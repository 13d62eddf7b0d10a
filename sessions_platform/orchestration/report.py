"""The asset `report` of a stream: a page with pictures, made when somebody asks for it.

No job contains it, so it may be left out; materialize it in the UI, or put it on a schedule of your own. Not here: what
stands in the page (`operations/report`).
"""

import base64
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.asset_keys import key
from sessions_platform.orchestration.assets import EVERY_PARTITION, GROUP, tags
from sessions_platform.orchestration.failures import TRANSIENT, retried_when_transient
from sessions_platform.orchestration.resources import Platform
from sessions_platform.settings import Settings

if TYPE_CHECKING:
    from sessions_platform.operations.report.report import Report


def report_asset(stream: Stream) -> dg.AssetsDefinition:
    """One page for the whole stream; it has no partitions."""

    @dg.asset(
        key=key(stream, "report"),
        description="One HTML page of the sessions, with pictures. Materialize it when you want one: no job does.",
        deps=[dg.AssetDep(key(stream, "sessions"), partition_mapping=EVERY_PARTITION)],
        group_name=GROUP,
        tags=tags(stream),
        kinds={"html"},
        owners=stream.owners,
        retry_policy=TRANSIENT,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def report(platform: Platform) -> dg.MaterializeResult:
        # What draws is large, and no other process needs it.
        from sessions_platform.operations.report.report import report_file, write_report

        with retried_when_transient():
            file = report_file(Settings.from_environment(), stream.name)
            written = write_report(platform.stream_context(stream.name), file)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": written.sessions,
                "file": dg.MetadataValue.path(str(written.file)),
                "bytes": written.size,
                "preview": dg.MetadataValue.md("\n\n".join(_previews(written))),
            }
        )

    return report


def _previews(written: "Report") -> Iterator[str]:
    """Pictures with their titles, which show counts only: Dagster keeps them, and nobody erases users there."""
    for title, png in written.previews:
        yield f"**{title}**"
        yield f"![{title}](data:image/png;base64,{base64.b64encode(png).decode()})"
