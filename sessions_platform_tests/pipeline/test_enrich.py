"""An enrichment is one file and one line of the table, and sessions can use its columns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from pydantic import ValidationError

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.enrichments import ENRICHMENTS, EnrichmentEntry
from sessions_platform.contracts.events import content_columns, contract_columns, event_columns
from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.sessions import sessionized_schema
from sessions_platform.contracts.sessions import session_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.enrich import enrich
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh, table
from sessions_platform_tests.pipeline.toy_enrichment import PageEnrichment
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, stream

COLUMNS = {"page_host": ColumnType.string, "page_depth": ColumnType.integer, "landed_in": ColumnType.string}
PAGES = EnrichmentEntry("sessions_platform_tests.pipeline.toy_enrichment:PageEnrichment", 1, COLUMNS)
SESSION = {
    "campaign": "page_host",
    "columns": {"deepest": {"max": "page_depth"}, "hosts": {"count_distinct": "page_host"}},
}


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENRICHMENTS, "pages", PAGES)


def contract_frame(*events: dict[str, Any], of: Stream) -> pl.DataFrame:
    return frame([{name: e[name] for name in contract_columns(of)} for e in events], stream())


def test_sessions_can_aggregate_enriched_columns(
    open_context: Callable[..., StreamContext],
) -> None:
    context = open_context(enrich=["pages"], session=SESSION)
    urls = ["https://a/x/y", "https://a/x", None, "https://b/"]
    put(context, "1", [line("ann", DAY_ONE, str(n), url=url) for n, url in enumerate(urls)], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    events = context.events(["2026-01-01"]).scan().collect()
    events_schema(context.stream, "2026-01-01").validate(events)
    assert list(events.columns) == list(event_columns(context.stream))
    assert events.select("page_host", "page_depth").rows() == [("a", 2), ("a", 1), (None, None), ("b", 0)]
    refresh(context)
    sessionized_schema(context.stream).validate(context.sessionized_events(["2026-01-01"]).scan().collect())
    rows = table(context)
    assert sorted((row["event_count"], row["deepest"], row["hosts"]) for row in rows) == [(1, 0, 1), (3, 2, 1)]
    assert session_columns(context.stream)["deepest"] == pl.Int64()


def test_duplicates_whose_enriched_values_differ_do_not_conflict(open_context: Callable[..., StreamContext]) -> None:
    """In one landing partition, and across two, where each was enriched with another value."""
    context = open_context(enrich=["pages"])
    same = line("ann", DAY_ONE, "a", url="https://a/x")
    put(context, "1", [same, same], "2026-01-01")
    put(context, "2", [same], "2026-01-02")
    ingest_and_publish(context, "2026-01-01", "2026-01-02")
    landed = context.events(["2026-01-01", "2026-01-02"]).scan().collect()
    assert sorted(landed["landed_in"]) == ["2026-01-01", "2026-01-02"]
    refresh(context)
    (version,) = context.ledger.newest_sessions(["2026-01-01"])
    assert (version.duplicates_across, version.conflicts_across) == (1, 0)
    assert table(context, "rejected_events") == []
    assert set(COLUMNS).isdisjoint(content_columns(context.stream))


def test_the_contract_version_depends_on_the_enrichments_and_their_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without, enriched = stream().contract_version, stream(enrich=["pages"]).contract_version
    assert stream(enrich=[]).contract_version == without
    assert enriched != without
    monkeypatch.setitem(ENRICHMENTS, "pages", EnrichmentEntry(PAGES.implementation, 2, COLUMNS))
    assert stream(enrich=["pages"]).contract_version not in {without, enriched}


def load(folder: Path, **changes: Any) -> Stream:
    path = folder / "web.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, **changes}))
    return load_stream(path, folder)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"enrich": ["page"]}, "there is no enrichment 'page'. Fix: name one of pages."),
        ({"enrich": ["pages", "pages"]}, "pages adds the column page_host, which there is already. Fix: rename"),
        (
            {"enrich": ["pages"], "columns": {**PLAIN["columns"], "page_depth": {"nullable": True}}},
            "pages adds the column page_depth, which there is already. Fix: rename",
        ),
        ({"session": SESSION}, "there is no column 'page_depth'. Fix: name one of"),
        ({"enrich": ["pages"], "sequence": "page_depth"}, "there is no column 'page_depth'. Fix: name one of"),
        (
            {"enrich": ["pages"], "session": {"columns": {"all": {"sum": "page_host"}}}},
            "page_host is not a number. Fix: sum a column of type integer or float",
        ),
    ],
)
def test_a_wrong_use_of_enrichments_is_a_clear_error(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(StreamError) as error:
        load(tmp_path, **changes)
    assert problem in str(error.value)


def test_a_stream_may_use_enriched_columns_in_its_session_rule(tmp_path: Path) -> None:
    assert load(tmp_path, enrich=["pages"], session=SESSION).enrich == ["pages"]


def test_without_an_entry_no_name_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ENRICHMENTS, "pages")
    assert ENRICHMENTS == {}
    with pytest.raises(ValidationError, match="there is no enrichment 'pages'"):
        stream(enrich=["pages"])


def test_an_enrichment_cannot_change_the_columns_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    of = stream(enrich=["pages"])
    correct = PageEnrichment.enrich
    monkeypatch.setattr(
        PageEnrichment, "enrich", lambda self, events: correct(self, events).with_columns(user_id=pl.lit("eve"))
    )
    (run,) = enrich([contract_frame(event("ann", DAY_ONE, "a"), of=of)], of)
    assert run["user_id"].to_list() == ["ann"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda events: events,
        lambda events: events.with_columns(page_host=pl.lit(1), page_depth=pl.lit(1), landed_in=pl.lit("")),
        lambda events: PageEnrichment().enrich(events).clear(),
    ],
    ids=["no column", "another type", "no rows"],
)
def test_an_enrichment_that_differs_from_its_entry_is_a_defect(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    class Wrong:
        def enrich(self, events: pl.DataFrame) -> pl.DataFrame:
            return wrong(events)

    monkeypatch.setattr("sessions_platform.pipeline.enrich.open_enrichment", lambda _: Wrong())
    of = stream(enrich=["pages"])
    with pytest.raises(RuntimeError, match="the enrichment pages returned"):
        list(enrich([contract_frame(event("ann", DAY_ONE, "a"), of=of)], of))
