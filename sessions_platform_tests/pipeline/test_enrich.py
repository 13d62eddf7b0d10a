"""An enrichment is one file and one line of the table, and sessions can use its columns."""

import re
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sessions_platform.contracts import enrichment
from sessions_platform.contracts.enrichments import ENRICHMENTS
from sessions_platform.contracts.events import content_columns, contract_columns, event_columns
from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.sessions import sessionized_schema
from sessions_platform.contracts.sessions import session_columns
from sessions_platform.contracts.short_forms import written_out
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.contracts.web_enrichments import Campaign, Referrer
from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.enrich import enrich
from sessions_platform.settings import Settings
from sessions_platform.transforms.enrich import campaign, distinct, hosts, inputs
from sessions_platform.transforms.enrich.registry import open_enrichment
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline import toy_enrichment
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh, run_pending, table
from sessions_platform_tests.pipeline.toy_enrichment import Pages, of_pages
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, stream

SESSION = {
    "campaign": "page_host",
    "columns": {"deepest": {"max": "page_depth"}, "hosts": {"count_distinct": "page_host"}},
}


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENRICHMENTS, "pages", Pages)


def contract_frame(*events: dict[str, Any], of: Stream) -> pl.DataFrame:
    return frame([{name: e[name] for name in contract_columns(of)} for e in events], stream())


def test_sessions_can_aggregate_enriched_columns(
    open_context: Callable[..., StreamContext],
) -> None:
    context = open_context(enrich={"pages": {}}, session=SESSION)
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
    context = open_context(enrich={"pages": {}})
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
    assert set(Pages.adds).isdisjoint(content_columns(context.stream))


WEB: dict[str, Any] = {
    "columns": {**PLAIN["columns"], "referrer": {"from": "ref", "nullable": True}},
    "enrich": {
        "referrer": {"own_hosts": ["shop.example"], "ignore": ["paypal.com"]},
        "campaign": None,
        "channel": None,
    },
    "session": {"columns": {"channel": {"first": "channel"}}},
}


def test_a_session_has_the_channel_of_its_arrival_also_by_way_of_a_payment(
    open_context: Callable[..., StreamContext],
) -> None:
    context = open_context(**written_out(WEB))
    visit = [
        "https://www.paypal.com/",
        "https://www.google.com/",
        "https://shop.example/cart",
        "https://www.paypal.com/",
    ]
    lines = [line("ann", DAY_ONE + timedelta(minutes=n), str(n), ref=ref) for n, ref in enumerate(visit)]
    marked = line("bob", DAY_ONE, "b", url="https://shop.example/?utm_source=n&utm_medium=email", ref=visit[0])
    put(context, "1", [*lines, marked], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    assert {row["user_id"]: row["channel"] for row in table(context)} == {"ann": "Organic Search", "bob": "Email"}


def test_newer_data_changes_the_sessions_whose_values_are_others_and_no_more(
    open_context: Callable[..., StreamContext], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_context(**written_out(WEB))
    refs = {"ann": "https://new.example/", "bob": "https://www.google.com/"}
    put(context, "1", [line(user, DAY_ONE, user, ref=ref) for user, ref in refs.items()], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    loaded = {row["user_id"]: row["loaded_at"] for row in table(context)}
    monkeypatch.setitem(hosts._table(), "new.example", hosts.Known("ai", "ChatGPT"))
    monkeypatch.setattr(Referrer, "code_version", 2)
    context = StreamContext.open(context.stream.model_copy(), settings, context.source)
    assert pending_landing_partitions(context) == ["2026-01-01"]
    run_pending(context)
    rows = {row["user_id"]: row for row in table(context)}
    assert (rows["ann"]["channel"], rows["bob"]["channel"]) == ("AI Assistants", "Organic Search")
    assert rows["ann"]["loaded_at"] > loaded["ann"]
    assert rows["bob"]["loaded_at"] == loaded["bob"]
    assert reasons_of_changes(context)[0] == ("changed", 1, {"by_contract"})
    put(context, "1", [line(user, DAY_ONE, user) for user in refs], "2026-01-01")
    run_pending(context)
    assert reasons_of_changes(context)[0] == ("changed", 2, {"by_rows"})
    rule = context.stream.session.model_copy(update={"gap": timedelta(minutes=1)})
    context = StreamContext.open(context.stream.model_copy(update={"session": rule}), settings, context.source)
    run_pending(context)
    assert reasons_of_changes(context)[0] == ("changed", 2, {"by_rule"})


def reasons_of_changes(context: StreamContext) -> list[tuple[str, int, set[str]]]:
    """What the query of docs/operations.md says: the change, of how many sessions, and why."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (query,) = re.findall(r"-- And why\?.*?;", page, re.DOTALL)
    rows = context.database.query(query.replace("web_shop", context.stream.name).removesuffix(";"))
    return [(row["change"], row["sessions"], {name for name in row if row[name] is True}) for row in rows]


def test_the_contract_version_depends_on_the_enrichments_and_their_versions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without, enriched = stream().contract_version, stream(enrich={"pages": {}}).contract_version
    assert stream(enrich={}).contract_version == without
    assert enriched != without
    monkeypatch.setattr(Pages, "code_version", 2)
    assert stream(enrich={"pages": {}}).contract_version not in {without, enriched}


def load(folder: Path, **changes: Any) -> Stream:
    path = folder / "web.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, **changes}))
    return load_stream(path, folder)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"enrich": ["page"]}, "there is no enrichment 'page'. Fix: name one of user_agent,"),
        ({"enrich": "pages"}, "Fix: write enrich: [user_agent], or"),
        (
            {"enrich": ["pages"], "columns": {**PLAIN["columns"], "page_depth": {"nullable": True}}},
            "pages adds the column page_depth, which there is already. Fix: rename",
        ),
        ({"enrich": ["user_agent"]}, "there is no column 'user_agent' to read from. Fix: add it to columns, or write"),
        (
            {"enrich": {"user_agent": "event_timestamp"}},
            "event_timestamp is no text, but of type timestamp. Fix: name a column of text",
        ),
        ({"enrich": ["channel"]}, "it reads what referrer and campaign would add. Fix: write referrer and campaign"),
        ({"enrich": {"referrer": {"from": "page_url", "own": []}}}, "enrich.referrer.own"),
        (
            {"enrich": {"referrer": {"from": "page_url", "own_hosts": ["https://a"]}}},
            "'https://a' is no host. Fix: write",
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
    assert load(tmp_path, enrich=["pages"], session=SESSION).enrich.keys() == {"pages"}


def test_without_an_entry_no_name_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ENRICHMENTS, "pages")
    with pytest.raises(ValidationError, match="there is no enrichment 'pages'"):
        stream(enrich={"pages": {}})


def test_what_follows_from_the_data_is_of_another_version_once_a_package_has_other_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version() -> str:
        return stream(enrich={"user_agent": {"from": "page_url"}}).contract_version

    today = version()
    monkeypatch.setattr(enrichment, "version", lambda name: f"the next {name}")
    assert version() != today


def test_a_package_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_found(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(enrichment, "version", not_found)
    with pytest.raises(StreamError, match=r"not installed. Fix: pip install 'sessions-platform\[enrichment\]'"):
        load(tmp_path, enrich={"user_agent": "page_url"})


RUNS = st.lists(st.lists(st.sampled_from(["https://a/?utm_source=x", "?gclid=1", "https://b/", "", None])), min_size=1)


@given(runs=RUNS, remembered=st.integers(0, 3), fewest=st.sampled_from([0, 1024]), bits=st.integers(0, 3))
def test_values_do_not_depend_on_how_events_come_in_runs_and_on_their_hashes(
    runs: list[list[str | None]], remembered: int, fewest: int, bits: int
) -> None:
    def frames() -> list[pl.DataFrame]:
        return [pl.DataFrame({"page_url": run}, schema={"page_url": pl.String}) for run in runs]

    in_runs, hashes = open_enrichment(Campaign.model_validate({})), inputs._hashes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "REMEMBERED", remembered)
        patch.setattr(inputs, "MIN_ROWS", fewest)  # whether the scanner's library finds them
        patch.setattr(inputs, "_hashes", lambda frame: hashes(frame) % (1 << bits))
        parts = [in_runs.enrich(run) for run in frames()]
    expected = open_enrichment(Campaign.model_validate({})).enrich(pl.concat(frames()))
    assert pl.concat(parts).rows() == expected.rows()
    assert expected.select(*Campaign.adds).rows() == [campaign.values_of(url) for url in expected["page_url"]]


def test_a_character_that_postgresql_cannot_store_does_not_stop_a_load(
    open_context: Callable[..., StreamContext],
) -> None:
    session = {"columns": {"source": {"first": "utm_source"}}}
    context = open_context(**written_out({"enrich": ["campaign"], "session": session}))
    put(context, "1", [line("ann", DAY_ONE, "1", url="https://shop.example/?utm_source=a%00b")], "2026-01-01")
    run_pending(context)
    assert [row["source"] for row in table(context)] == [r"a\u0000b"]


def test_an_enrichment_cannot_change_the_columns_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    of = stream(enrich={"pages": {}})
    monkeypatch.setattr(toy_enrichment, "of_pages", lambda inputs: of_pages(inputs).with_columns(user_id=pl.lit("eve")))
    (run,) = enrich([contract_frame(event("ann", DAY_ONE, "a"), of=of)], of)
    assert run["user_id"].to_list() == ["ann"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda inputs: inputs,
        lambda inputs: inputs.with_columns(page_host=pl.lit(1), page_depth=pl.lit(1), landed_in=pl.lit("")),
        lambda inputs: of_pages(inputs).clear(),
    ],
    ids=["no column", "another type", "no rows"],
)
def test_an_enrichment_that_differs_from_its_entry_is_a_defect(
    monkeypatch: pytest.MonkeyPatch, wrong: Callable[[pl.DataFrame], pl.DataFrame]
) -> None:
    monkeypatch.setattr(toy_enrichment, "of_pages", wrong)
    of = stream(enrich={"pages": {}})
    with pytest.raises(RuntimeError, match=r"the enrichment .*:pages returned"):
        list(enrich([contract_frame(event("ann", DAY_ONE, "a"), of=of)], of))
