"""`status` says what is likely wrong where no file is found, or nearly all rows are rejected."""

from pathlib import Path

from sessions_platform.operations.dead_letters import Filter, discard, find_rejected_records
from sessions_platform.operations.status import status
from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import ingest_and_publish, open_folder
from sessions_platform_tests.operations.test_likely_causes import event
from sessions_platform_tests.streams import PLAIN


def test_nothing_found_and_nearly_everything_rejected_are_told_until_somebody_has_decided(
    tmp_path: Path, settings: Settings
) -> None:
    context = open_folder(tmp_path, settings, source={"files": "in/{partition:%Y-%m-%d}/*.ndjson"})
    (tmp_path / "in").mkdir()
    (hint,) = status(context)["hints"]
    assert hint.startswith("no file matches in/{partition:%Y-%m-%d}/*.ndjson; ")

    (tmp_path / "in" / "2026-02-30").mkdir()
    (tmp_path / "in" / "2026-02-30" / "a.ndjson").write_text("")
    (hint,) = status(context)["hints"]
    assert hint.startswith("no file can be read; the first of 1, in/2026-02-30/a.ndjson: its name states no sta")

    for day in ("2026-01-01", "2026-01-02"):
        (tmp_path / "in" / day).mkdir()
        (tmp_path / "in" / day / "a.ndjson").write_text("".join(event('"2026/01/01 10:00"') + "\n" for _ in range(12)))
        ingest_and_publish(context, day)
    (hint,) = status(context)["hints"]
    assert hint.startswith(
        "12 of 12 rows of 2026-01-02 (and of 1 more partitions) are rejected as bad_timestamp: event_timestamp: the "
    )
    assert 'add "%Y/%m/%d %H:%M" to columns.event_timestamp.formats, which reads it' in hint

    records = find_rejected_records(context, Filter(landing_partition="2026-01-02"))
    discard(context, [record["rejection_id"] for record in records], "somebody", "not needed")
    assert status(context)["hints"] == []


def test_a_partition_above_a_threshold_is_told_until_somebody_has_decided(tmp_path: Path, settings: Settings) -> None:
    limits = {"warn_above": "5%", "by_reason": {"missing_identity": {"warn_above": "50%"}}}
    context = open_folder(tmp_path, settings, source={"files": "in/{partition:%Y-%m-%d}/*.ndjson"}, rejected=limits)
    (tmp_path / "in" / "2026-01-01").mkdir(parents=True)
    lines = [*(event(id=f'"{number}"') for number in range(9)), event('"tomorrow"')]
    (tmp_path / "in" / "2026-01-01" / "a.ndjson").write_text("\n".join(lines))
    ingest_and_publish(context, "2026-01-01")
    (hint,) = status(context)["hints"]
    assert hint.startswith("1 of 10 rows of 2026-01-01 are rejected, which is more than 5%. Fix: see ")
    (record,) = find_rejected_records(context, Filter())
    discard(context, [record["rejection_id"]], "somebody", "not needed")
    assert status(context)["hints"] == []


def test_one_file_that_cant_be_read_is_told_among_many_good_rows(tmp_path: Path, settings: Settings) -> None:
    context = open_folder(tmp_path, settings, source={"files": "in/{partition:%Y-%m-%d}/*"})
    (tmp_path / "in" / "2026-01-01").mkdir(parents=True)
    (tmp_path / "in" / "2026-01-01" / "a").write_text("".join(event(id=f'"{n}"') + "\n" for n in range(20)))
    (tmp_path / "in" / "2026-01-01" / "b").write_bytes(b"\x1f\x8bno gzip")
    ingest_and_publish(context, "2026-01-01")
    (hint,) = status(context)["hints"]
    assert hint.startswith(
        "1 of 21 rows of 2026-01-01 are rejected as unreadable_file: the first file, in/2026-01-01/b: "
    )


def test_a_page_that_is_called_otherwise_is_told(tmp_path: Path, settings: Settings) -> None:
    columns = {name: column for name, column in PLAIN["columns"].items() if name != "page_url"}
    (tmp_path / "2026-01-01").mkdir()
    (tmp_path / "2026-01-01" / "a").write_text(event() + "\n")
    assert status(open_folder(tmp_path, settings, columns=columns))["hints"] == []
    (hint,) = status(open_folder(tmp_path, settings, columns={**columns, "url": {"nullable": True}}))["hints"]
    assert hint.endswith("Fix: if url is the page, call that column page_url.")


def test_a_renamed_page_column_is_told_and_a_stream_of_something_else_is_not(
    tmp_path: Path, settings: Settings
) -> None:
    def hints_of(**columns: dict[str, object]) -> list[str]:
        others = {name: column for name, column in PLAIN["columns"].items() if name != "page_url"}
        context = open_folder(tmp_path, settings, columns={**others, **columns})
        (tmp_path / "2026-01-01").mkdir(exist_ok=True)
        (tmp_path / "2026-01-01" / "a.ndjson").touch()
        return status(context)["hints"]

    (renamed,) = hints_of(seite={"from": "url", "nullable": True})
    assert renamed.endswith("Fix: if seite is the page, call that column page_url.")
    assert hints_of(amount={"type": "float", "nullable": True}) == []
