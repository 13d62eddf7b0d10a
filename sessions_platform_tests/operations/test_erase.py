"""A user is erased from everything, others keep every row, and the user is refused when old files land again."""

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from sessions_platform.contracts.pseudonyms import keyed_pseudonym
from sessions_platform.errors import UserError
from sessions_platform.operations.dead_letters import Filter, discard, find_rejected_records
from sessions_platform.operations.erase import dry_run, erase
from sessions_platform.operations.landing_files import place_files
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.repaired_rows import RepairedRow
from sessions_platform.operations.replay import replay
from sessions_platform.operations.status import status
from sessions_platform.operations.verify import verify
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.publish import publish
from sessions_platform.settings import Settings
from sessions_platform.sources.base import Quarantine, Reading, Slice
from sessions_platform.storage.erasure_key import ErasureKey
from sessions_platform.storage.ledger.files import ReadBatch, ReadFile
from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform_tests.contexts import line
from sessions_platform_tests.ingested import open_folder
from sessions_platform_tests.operations.erasure import (
    ALL,
    ANN,
    NO_IDS,
    at,
    contents,
    holding,
    in_tables,
    lake_of,
    open_landed,
    without_ann,
    write,
)
from sessions_platform_tests.pipeline.steps import put, run_pending, table, validated
from sessions_platform_tests.pipeline.test_geo import write_database
from sessions_platform_tests.streams import PLAIN

__all__ = ["open_landed"]

# The folders of a stream in the lake that have columns of accepted events.
COPIES = ("raw_events", "events", "sessionized_events")


@pytest.mark.slow
@pytest.mark.parametrize("columns", [PLAIN["columns"], NO_IDS], ids=["ids", "derived ids"])
def test_a_user_is_erased_from_everything_and_others_keep_every_row(
    open_landed: Callable[..., StreamContext], tmp_path: Path, columns: dict[str, Any]
) -> None:
    context = open_landed(columns=columns)
    should = without_ann(contents(context))
    receipt = erase(context, [ANN])
    assert contents(context) == should
    assert receipt["erased_raw_rows"] == {"owner": 18, "text": 3, "mention": 3}
    assert receipt["left"] == []
    assert ANN not in json.dumps(receipt)
    assert holding(tmp_path) == []
    assert holding(lake_of(context)) == []
    assert in_tables(context) == []
    counts = status(context)
    assert counts["pending"] == {"landing": [], "session": []}
    assert counts["raw_rows"] == counts["accepted"] + counts["rejected"] + counts["duplicates"]
    again = erase(context, [ANN])
    assert again["erased_raw_rows"] == {"owner": 0, "text": 0, "mention": 0}
    assert contents(context) == should
    rebuild(context, "a-rebuild", lambda _: None)
    assert contents(context)["sessions"] == should["sessions"]
    assert contents(context)["lake"] == should["lake"]


@pytest.mark.slow
def test_an_event_of_a_batch_in_a_text_is_erased_and_the_others_of_its_line_stay(
    tmp_path: Path, settings: Settings
) -> None:
    def logged(*users: str) -> bytes:
        events = [json.loads(line(user, at(1, n), f"{user}{n}")) for n, user in enumerate(users)]
        return json.dumps({"at": 1, "body": json.dumps({"batch": events, "sent": "now"})}).encode()

    lines = [logged("bob", ANN, "bob"), logged(ANN), logged("bob", ANN)]
    (tmp_path / "landing").mkdir()
    file = write(tmp_path / "landing", "a.ndjson", lines)
    source = {"files": "landing/{partition:%Y-%m-%d}/*", "format": "ndjson", "events": "json:body.batch", **ALL}
    context = open_folder(tmp_path, settings, source=source)
    run_pending(context)
    should = without_ann(contents(context)["sessions"])
    assert erase(context, [ANN])["left"] == []
    assert contents(context)["sessions"] == should
    assert holding(tmp_path) == []
    assert [set(json.loads(each)) for each in file.read_bytes().splitlines()] == [{"at", "body"}] * 3
    rebuild(context, "a-rebuild", lambda _: None)
    assert contents(context)["sessions"] == should


@pytest.mark.slow
def test_a_pseudonymized_user_is_erased_by_the_id_that_came(
    open_landed: Callable[..., StreamContext], tmp_path: Path
) -> None:
    key = "a key that is long enough"
    context = open_landed(pseudonymize={"user_id": "hmac"}, pseudonym_key=key)
    pseudonym = keyed_pseudonym(key, ANN)
    in_clear = holding(lake_of(context))
    assert in_clear
    assert all(name.startswith(("raw_events", "rejected_events")) for name in in_clear)
    queue = [f"{context.stream.name}.{name}" for name in ("dead_letters", "rejected_events")]
    assert sorted(in_tables(context)) == queue
    assert holding(lake_of(context), pseudonym)
    should = [row for row in without_ann(contents(context)["sessions"]) if row["user_id"] != pseudonym]
    erase(context, [ANN])
    assert contents(context)["sessions"] == should
    for word in (ANN, pseudonym):
        assert holding(tmp_path, word) == []
        assert holding(lake_of(context), word) == []
        assert in_tables(context, word) == []


@pytest.mark.slow
def test_what_enrichments_read_and_made_of_a_user_is_erased_also_from_versions_by_older_data(
    tmp_path: Path, settings: Settings
) -> None:
    """The lake has events by two tables; of their distinct inputs it has no file."""
    asked = {"bob": ("198.51.100.9", "curl/8.1 bob"), ANN: ("192.0.2.77", "curl/8.1 ann-at-home")}
    lines = [line(user, at(1, n), f"{user}{n}", ip=ip, ua=ua) for n, (user, (ip, ua)) in enumerate(asked.items())]
    (tmp_path / "landing").mkdir()
    write(tmp_path / "landing", "a.ndjson", lines)

    def processed_by(country: str) -> StreamContext:
        write_database(tmp_path / "country.mmdb", {"192.0.2.0/24": {"country": country}})
        geo = {"database": str(tmp_path / "country.mmdb"), "keep_ip": True}
        context = open_folder(
            tmp_path / "landing",
            settings,
            name="asked_for",
            source=ALL,
            columns={**PLAIN["columns"], "ip": {"nullable": True}, "ua": {"nullable": True}},
            enrich={"user_agent": {"from": "ua"}, "geo": geo},
            session={"columns": {"ips": {"first": "ip"}, "agent": {"first": "ua"}, "country": {"first": "country"}}},
        )
        run_pending(context)
        return context

    processed_by("DE")
    context = processed_by("NL")
    assert [row["country"] for row in table(context) if row["user_id"] == ANN] == ["NL"]
    for word in asked[ANN]:
        assert {name.partition("/")[0] for name in holding(lake_of(context), word)} == set(COPIES)
        assert len(holding(lake_of(context) / "events", word)) == 2
        assert "asked_for.sessions" in in_tables(context, word)
    assert erase(context, [ANN])["left"] == []
    for word in asked[ANN]:
        assert holding(tmp_path, word) == []
        assert holding(lake_of(context), word) == []
        assert in_tables(context, word) == []
    assert [row["ips"] for row in table(context)] == [asked["bob"][0]]


@pytest.mark.slow
def test_the_user_is_refused_when_old_files_land_again(
    open_landed: Callable[..., StreamContext], tmp_path: Path
) -> None:
    context = open_landed(columns=NO_IDS)
    old = tmp_path / "old"
    shutil.copytree(tmp_path / "landing", old)
    should = without_ann(contents(context))
    erase(context, [ANN])
    # under their own names, under other names, and appended to
    shutil.copytree(old, tmp_path / "landing", dirs_exist_ok=True)
    shutil.copy(old / "2026-01-01" / "a.ndjson", tmp_path / "landing" / "2026-01-01" / "b.ndjson")
    run_pending(context)
    assert contents(context)["sessions"] == should["sessions"]
    assert holding(lake_of(context)) == []
    assert in_tables(context) == []
    receipt = erase(context, [ANN])
    assert receipt["rewritten"]["landing_files"] == 4
    assert holding(tmp_path / "landing") == []
    redacted = tmp_path / "landing" / "2026-01-03" / "a.ndjson"
    redacted.write_bytes(redacted.read_bytes() + line("bob", at(3, 600), "late") + b"\n")
    run_pending(context)
    assert status(context)["sessions"] == len(should["sessions"]) + 1
    assert holding(tmp_path / "landing") == []


@pytest.mark.slow
def test_a_user_that_was_repaired_into_is_erased_with_the_original_row(
    open_landed: Callable[..., StreamContext], tmp_path: Path
) -> None:
    context = open_landed()
    nobody = [row for row in find_rejected_records(context, Filter()) if '"user": null' in row["payload"]]
    rows = [
        RepairedRow(row["rejection_id"], row["payload"].replace("null", f'"{user}"').encode(), "repaired")
        for row, user in zip(nobody, ("bob", ANN, ANN), strict=True)
    ]
    replay(context, rows, "a-replay")
    run_pending(context)
    assert status(context)["users"] == 2
    discarded = next(row for row in find_rejected_records(context, Filter()) if row["payload"] == "{broken")
    discard(context, [discarded["rejection_id"]], f"as {ANN} asked", "me")
    should = without_ann(contents(context))
    receipt = erase(context, [ANN])
    assert receipt["redacted"]["decisions"] == 1
    assert receipt["erased_raw_rows"] == {"owner": 20, "text": 5, "mention": 3}
    assert contents(context)["sessions"] == should["sessions"]
    assert len(context.ledger.repairs()) == 1
    assert holding(tmp_path) == holding(lake_of(context)) == in_tables(context) == []


def test_a_dry_run_changes_nothing(open_landed: Callable[..., StreamContext]) -> None:
    context = open_landed()
    before = contents(context)
    found = dry_run(context, [ANN, "nobody"])
    assert contents(context) == before
    assert found["raw_rows"] == {"owner": 18, "text": 3, "mention": 3}
    assert context.ledger.tombstones() == []


def test_a_repair_can_not_bring_an_erased_user_back(open_landed: Callable[..., StreamContext]) -> None:
    context = open_landed()
    erase(context, [ANN])
    nobody = next(row for row in find_rejected_records(context, Filter()) if '"user": null' in row["payload"])
    payload = nobody["payload"].replace("null", f'"{ANN}"').encode()
    with pytest.raises(UserError, match=r"fixed:7: its user was erased\. Fix: leave the line out\."):
        replay(context, [RepairedRow(nobody["rejection_id"], payload, "fixed:7")], "a-replay")


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["csv", "parquet", "truncated"])
def test_other_formats_are_rewritten_too(tmp_path: Path, settings: Settings, file_format: str) -> None:
    folder = tmp_path / "landing"
    folder.mkdir()
    users = ["bob", ANN, "bob", ANN, "cleo"]
    rows = pl.DataFrame({"id": list("abcde"), "user": users, "ts": [at(1, n) for n in range(5)], "type": "view"})
    file = write(folder, "a", [])
    source = {**ALL, "format": "csv" if file_format == "csv" else "parquet" if file_format == "parquet" else "ndjson"}
    if file_format == "csv":
        file.write_bytes(zstandard.compress(rows.write_csv(line_terminator="\r\n").encode()))
    elif file_format == "parquet":
        rows.write_parquet(file)
    else:
        text = rows.write_ndjson().encode()
        file.write_bytes(gzip.compress(text) + gzip.compress(text)[:-9])
    context = open_folder(folder, settings, source=source, columns=NO_IDS)
    run_pending(context)
    should = without_ann(contents(context))
    before = file.read_bytes()
    receipt = erase(context, [ANN])
    assert contents(context) == should
    assert holding(lake_of(context)) == []
    if file_format == "truncated":
        assert receipt["deleted"]["corrupt_landing_files"] == ["2026-01-01/a"]
        assert receipt["deleted"]["quarantined_files"] == 1
    else:
        assert file.stat().st_size
        assert ANN.encode() not in (
            file.read_bytes() if file_format == "parquet" else zstandard.decompress(file.read_bytes(), 9999)
        )
    run_pending(context)
    assert contents(context) == should
    file.write_bytes(before)
    run_pending(context)
    assert contents(context) == should
    assert holding(lake_of(context)) == []


@pytest.mark.slow
def test_only_files_that_ingest_has_placed_are_rewritten_unless_the_stream_says_so(
    tmp_path: Path, settings: Settings
) -> None:
    folder = tmp_path / "landing"
    folder.mkdir()
    for name in ("own.ndjson", "placed.ndjson"):
        (tmp_path / name).write_bytes(line(ANN, at(1, len(name)), name) + b"\n" + line("bob", at(1, 2), f"b{name}"))
    source = {"files": "{partition:%Y-%m-%d}/*.ndjson"}
    context = open_folder(folder, settings, source=source)
    (placed,) = place_files(context, [tmp_path / "placed.ndjson"], "2026-01-01")
    shutil.copy(tmp_path / "own.ndjson", placed.parent)
    run_pending(context)
    receipt = erase(context, [ANN])
    assert holding(folder) == ["2026-01-01/own.ndjson"]
    assert [left.partition(":")[0] for left in receipt["left"]] == ["2026-01-01/own.ndjson"]
    run_pending(context)
    assert [row["user_id"] for row in table(context)] == ["bob"]
    placed_again = place_files(context, [tmp_path / "placed.ndjson"], "2026-01-01")
    assert placed_again == [placed]
    assert holding(folder) == ["2026-01-01/own.ndjson"]


def test_runs_that_read_the_user_before_are_refused_and_leave_no_file(context: StreamContext) -> None:
    day = "2026-01-01"
    put(context, "a", [line(ANN, at(1, 1), "a"), line("bob", at(1, 2), "b")], day)
    run_pending(context)
    in_progress = validated(context, day)
    (version,) = context.ledger.newest_sessions()
    (file,) = context.ledger.files()
    erase(context, [ANN])
    with pytest.raises(StaleWriteError):
        publish(context, in_progress, "a-run")
    with pytest.raises(StaleWriteError, match="users were erased"):
        context.ledger.record_batch(ReadBatch([ReadFile("a", "new", "digest", 2, file.path)], file.stored), "a-run")
    row = {name: value for name, value in version._asdict().items() if name != "version"}
    with pytest.raises(StaleWriteError, match="users were erased"):
        context.ledger.write_sessions([{**row, "run_id": "a-run"}])
    assert holding(lake_of(context)) == in_tables(context) == []


@pytest.mark.slow
def test_landing_files_that_share_a_raw_file_keep_every_row(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "landing"
    folder.mkdir()
    for number, users in enumerate([["bob", "cleo"], ["bob", ANN, "cleo"], [ANN], ["cleo", "bob"]]):
        lines = [line(user, at(1, 10 * number + n), f"{number}-{n}") for n, user in enumerate(users)]
        write(folder, f"{number}.ndjson", lines)
    context = open_folder(folder, settings, source=ALL)
    run_pending(context)
    before, (shared,) = context.ledger.files(), {file.path for file in context.ledger.files()}
    raw = context.raw_events(["2026-01-01"]).scan().collect().to_dicts()
    receipt = erase(context, [ANN])
    assert receipt["rewritten"]["raw_files"] == 1
    after = context.ledger.files()
    assert {file.path for file in after} != {shared}
    assert len({file.path for file in after}) == 1
    assert [file.rows for file in after] == [2, 2, 0, 2]
    assert [file.sequence == old.sequence for file, old in zip(after, before, strict=True)] == [
        True,
        False,
        False,
        True,
    ]
    kept = context.raw_events(["2026-01-01"]).scan().collect().to_dicts()
    assert kept == [row for row in raw if ANN.encode() not in row["payload"]]
    assert verify(context, "a-run", deep=True).problems == []
    # one is read again, and the others move
    file = folder / "2026-01-01" / "0.ndjson"
    file.write_bytes(file.read_bytes() + line("bob", at(1, 50), "late") + b"\n")
    run_pending(context)
    moved = context.raw_events(["2026-01-01"]).scan().sort("source_uri", "position").collect().to_dicts()
    assert [row for row in moved if b"late" not in row["payload"]] == kept
    assert verify(context, "a-run", deep=True).problems == []
    assert holding(lake_of(context)) == []


@pytest.mark.slow
@pytest.mark.parametrize("rewrite", ["all", "none"])
@pytest.mark.parametrize("file_format", ["ndjson", "csv", "parquet"])
def test_lost_raw_rows_are_made_anew_without_the_user(
    tmp_path: Path, settings: Settings, file_format: str, rewrite: str
) -> None:
    folder = tmp_path / "landing"
    folder.mkdir()
    for name, *users in (("a", "bob", ANN, "bob", ANN, "cleo"), ("b", "bob", ANN), ("c", ANN)):
        rows = pl.DataFrame({"id": [f"{name}{n}" for n in range(len(users))], "user": users, "type": "view"})
        getattr(rows.with_columns(ts=pl.lit(at(1, 1))), f"write_{file_format}")(write(folder, name, []))
    source = {"rewrite_on_erasure": rewrite, "format": file_format}
    context = open_folder(folder, settings, source=source)
    run_pending(context)
    should = without_ann(contents(context))
    erase(context, [ANN])
    for file in context.ledger.lake_files():
        context.lake.remove(file.path)
    verified = verify(context, "a-run", deep=True, repairing=True)
    assert verified.problems == []
    assert len(verified.repaired) == len(context.ledger.lake_files())
    assert contents(context) == should
    assert holding(lake_of(context)) == in_tables(context) == []
    assert verify(context, "a-run", deep=True).problems == []


def test_a_reading_amid_an_erasure_is_repeated_without_the_user(
    context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, read = "2026-01-01", context.source.read
    put(context, "a", [line(ANN, at(1, 1), "a"), line("bob", at(1, 2), "b")], day)
    run_pending(context)

    def read_amid(slice_: Slice, quarantine: Quarantine) -> Reading:
        if not context.ledger.tombstones():
            erase(context, [ANN])
        return read(slice_, quarantine)

    monkeypatch.setattr(context.source, "read", read_amid)
    put(context, "b", [line("bob", at(1, 3), "c"), line(ANN, at(1, 4), "d")], day)
    run_pending(context)
    assert [file.rows for file in context.ledger.files()] == [1, 1]
    assert [file.refused_rows for file in context.ledger.files()] == [0, 1]
    assert holding(lake_of(context)) == in_tables(context) == []


def test_without_the_key_nothing_is_ingested(context: StreamContext, tmp_path: Path) -> None:
    put(context, "a", [line(ANN, at(1, 1), "a"), line("bob", at(1, 2), "b")], "2026-01-01")
    run_pending(context)
    keyed = replace(context, erasure_key=ErasureKey(None, tmp_path / "key"))
    erase(keyed, [ANN])
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    put(context, "b", [line(ANN, at(1, 3), "c")], "2026-01-01")
    for key in (ErasureKey(None, tmp_path / "none"), ErasureKey("another key, and long enough")):
        with pytest.raises(UserError, match="Fix: restore"):
            run_pending(replace(context, erasure_key=key))
    run_pending(keyed)
    assert [row["user_id"] for row in table(context)] == ["bob"]
    for nobody in ([], [" "], ["a\0b"]):
        with pytest.raises(UserError, match="--user: "):
            erase(context, nobody)
