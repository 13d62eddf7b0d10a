"""What is lost, damaged or miscounted is found, named and made anew; only what is truly gone is left."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sessions_platform import cli
from sessions_platform.operations.status import pending_landing_partitions, status
from sessions_platform.operations.verify import Verified, verify
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.errors import DamagedFileError, LakeFileError, MissingFileError
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.operations.lake_damage import (
    ASSETS,
    DAYS,
    RUN,
    bring_up_to_date,
    files_of,
    flip,
    landed,
    lines,
    tables,
)
from sessions_platform_tests.streams import PLAIN, stream

pytestmark = pytest.mark.slow

# How many bits are flipped, over all kinds of files in turn.
FLIPS = int(os.environ.get("SESSIONS_TEST_FLIPS", "40"))


@pytest.fixture
def context(tmp_path: Path, settings: Settings) -> StreamContext:
    return landed(tmp_path / "landing", settings)


@pytest.fixture
def open_changed(settings: Settings) -> Callable[..., StreamContext]:
    """The same stream under a changed file."""

    def make(context: StreamContext, **changes: Any) -> StreamContext:
        document = {"path": context.stream.path, "source": context.stream.source.model_dump(exclude_unset=True)}
        return StreamContext.open(stream(**{"name": context.stream.name, **document, **changes}), settings)

    return make


def found(context: StreamContext, **options: bool) -> list[tuple[str, str, str]]:
    verified = verify(context, RUN, **options)
    return [(problem["kind"], problem["asset"], problem["partition"]) for problem in verified.problems]


def repaired(context: StreamContext) -> Verified:
    verified = verify(context, RUN, deep=True, repairing=True)
    assert verify(context, RUN, deep=True).problems == verified.problems or verified.problems == []
    return verified


def reopened(context: StreamContext, settings: Settings) -> StreamContext:
    """The stream in another process's eyes: nothing of its lake was compared yet."""
    return StreamContext.open(context.stream, settings)


def read_everything(context: StreamContext) -> None:
    """Validate, compute and load everything again, as if it were new."""
    run_pipeline(context, DAYS, RUN, session_partitions=DAYS)


def test_a_stream_in_order_has_no_problems(context: StreamContext) -> None:
    before = tables(context)
    for deep in (False, True):
        verified = verify(context, RUN, deep=deep, repairing=True)
        assert (verified.problems, verified.repaired, verified.without_checksum) == ([], [], 0)
        assert verified.files == len(context.ledger.lake_files())
    assert tables(context) == before
    assert len(before["sessions"]) > 10
    assert len(before["rejected_events"]) == 4


@pytest.mark.parametrize("asset", ASSETS)
@pytest.mark.parametrize("how", ["missing", "damaged", "cut off"])
def test_a_lost_or_damaged_file_is_named_and_made_anew_with_the_same_rows(
    context: StreamContext, settings: Settings, asset: str, how: str
) -> None:
    before, pending = tables(context), pending_landing_partitions(context)
    (path, *_) = files_of(context, asset, DAYS[1])
    name = path.relative_to(folder_of(context.lake)).as_posix()
    if how == "missing":
        path.unlink()
    elif how == "damaged":
        flip(path, (pq.read_metadata(path).row_group(0).column(0).data_page_offset + 30) * 8)
    else:
        path.write_bytes(path.read_bytes()[:-100])
    context = reopened(context, settings)
    kind = "missing" if how == "missing" else "damaged"
    assert found(context, deep=True) == [(kind, asset, DAYS[1])]
    assert found(context) == ([] if how == "damaged" else [(kind, asset, DAYS[1])])
    assert status(context)["lake"]["missing_files"] == ([name] if how == "missing" else [])

    (what,) = repaired(context).repaired

    assert what["path"] == name
    assert what["rows"] > 0
    assert not context.stale_session_partitions()
    assert pending_landing_partitions(context) == pending == []
    assert verify(context, RUN, deep=True).problems == []
    read_everything(reopened(context, settings))
    assert tables(context) == before


def test_a_reader_gets_a_sentence_and_never_other_rows(context: StreamContext, settings: Settings) -> None:
    (damaged, *_), (lost, *_) = files_of(context, "events", DAYS[0]), files_of(context, "raw_events", DAYS[2])
    footer = pq.read_metadata(damaged)
    flip(damaged, (footer.row_group(0).column(0).data_page_offset + 20) * 8)
    lost.unlink()
    context = reopened(context, settings)
    fix = rf"Fix: run `sessions-platform verify {context.stream.name} --repair`"
    with pytest.raises(DamagedFileError, match=rf"events/{DAYS[0]}/\w+-\w+\.parquet, of events {DAYS[0]}: .*{fix}"):
        context.events([DAYS[0]]).scan()
    with pytest.raises(DamagedFileError):
        list(context.events([DAYS[0]]).blocks())
    with pytest.raises(MissingFileError, match=rf"of raw_events {DAYS[2]}: it is missing. {fix}"):
        context.raw_events([DAYS[2]]).scan()
    with pytest.raises(LakeFileError, match=fix):
        read_everything(context)


def test_everything_but_the_landing_files_is_made_anew(context: StreamContext, settings: Settings) -> None:
    before = tables(context)
    shutil.rmtree(folder_of(context.lake) / context.stream.name)
    context = reopened(context, settings)
    assert len(status(context)["lake"]["missing_files"]) == len(context.ledger.lake_files())

    verified = repaired(context)

    assert verified.problems == []
    assert len(verified.repaired) == verified.files + 2  # and two quarantined copies
    assert tables(context) == before
    read_everything(reopened(context, settings))
    assert tables(context) == before


def test_only_what_is_truly_gone_is_left_with_the_rows_that_it_held(
    context: StreamContext, settings: Settings, tmp_path: Path
) -> None:
    before = tables(context)
    (tmp_path / "landing" / DAYS[0] / "a.ndjson").unlink()
    (tmp_path / "landing" / DAYS[0] / "b.ndjson").rename(tmp_path / "landing" / DAYS[0] / "moved.ndjson")
    for path in files_of(context, "raw_events", DAYS[0]):
        path.unlink()
    context = reopened(context, settings)

    (gone,) = verify(context, RUN, repairing=True).problems

    assert (gone["partition"], gone["rows"]) == (DAYS[0], 60)
    assert gone["not_repaired"] == f"60 rows are gone: the rows of {DAYS[0]}/a.ndjson, whose bytes are nowhere else"
    assert status(context)["lake"]["problems"] == [gone]
    assert tables(context) == before


def test_rows_that_are_gone_before_and_after_validation_are_told_of_both(
    context: StreamContext, settings: Settings, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "landing" / DAYS[0])
    for asset in ("raw_events", "events"):
        for path in files_of(context, asset, DAYS[0]):
            path.unlink()
    problems = verify(reopened(context, settings), RUN, repairing=True).problems
    assert [(one["asset"], one["rows"]) for one in problems] == [("raw_events", 91), ("events", 90)]
    assert all("gone" in one["not_repaired"] or "lost" in one["not_repaired"] for one in problems)


def test_a_file_whose_landing_file_has_changed_keeps_its_own_rows_out(
    context: StreamContext, settings: Settings, tmp_path: Path
) -> None:
    """The lost rows are of the old bytes; those of the new ones come in by the next ingestion."""
    before = status(context)["events_in_sessions"]
    (path,) = files_of(context, "raw_events", DAYS[2])
    path.unlink()
    (tmp_path / "landing" / DAYS[2] / "a.ndjson").write_bytes(lines(2, 70))
    context = reopened(context, settings)
    (left,) = verify(context, RUN, repairing=True).problems
    assert left["rows"] == 60
    bring_up_to_date(context)
    assert verify(context, RUN, deep=True, repairing=True).problems == []
    assert status(context)["events_in_sessions"] == before + 10


def test_a_lake_older_than_its_ledger_is_brought_up_to_it(
    context: StreamContext, settings: Settings, tmp_path: Path
) -> None:
    lake = folder_of(context.lake) / context.stream.name
    shutil.copytree(lake, backup := tmp_path / "backup")
    (tmp_path / "landing" / DAYS[0] / "late.ndjson").write_bytes(lines(0, 100, "late"))
    (tmp_path / "landing" / DAYS[1] / "a.ndjson").write_bytes(lines(1, 20))
    bring_up_to_date(context)
    before = tables(context)
    shutil.rmtree(lake)
    shutil.copytree(backup, lake)
    context = reopened(context, settings)
    assert status(context)["lake"]["missing_files"] != []

    assert repaired(context).problems == []

    assert tables(context) == before
    read_everything(reopened(context, settings))
    assert tables(context) == before


def test_lost_events_of_another_contract_are_published_again(
    context: StreamContext, open_changed: Callable[..., StreamContext]
) -> None:
    for path in files_of(context, "events", DAYS[1]):
        path.unlink()
    changed = open_changed(context, session={"gap": "2h"})
    assert changed.stream.contract_version == context.stream.contract_version
    other = open_changed(context, columns={**PLAIN["columns"], "event_type": {"from": "type", "isin": ["view"]}})
    assert other.stream.contract_version != context.stream.contract_version
    (what,) = verify(other, RUN, repairing=True).repaired
    assert what["repaired"].startswith("validated again under the current contract and published")
    assert set(DAYS) <= set(other.stale_session_partitions())
    before = tables(context)
    bring_up_to_date(other)
    assert tables(other)["sessions"] == before["sessions"]


def test_counts_that_differ_are_found_and_loaded_again(context: StreamContext) -> None:
    before = tables(context)
    (row, *_) = before["sessions"]
    with context.database.transaction() as connection:
        connection.execute(f"delete from {context.stream.name}.sessions where session_id = %s", [row["session_id"]])  # pyright: ignore[reportArgumentType]
    assert found(context) == [("counts", "sessions", row["session_partition"])]
    assert verify(context, RUN, repairing=True).problems == []
    bring_up_to_date(context)
    assert tables(context)["sessions"] == before["sessions"]
    assert verify(context, RUN, deep=True).problems == []


def test_quarantined_copies_are_verified_and_copied_again(context: StreamContext) -> None:
    lost, damaged = files_of(context, "quarantined_files")
    contents = lost.read_bytes(), damaged.read_bytes()
    lost.unlink()
    flip(damaged, 3)
    assert sorted(found(context, deep=True)) == [
        ("damaged", "quarantined_files", ""),
        ("missing", "quarantined_files", ""),
    ]
    assert repaired(context).problems == []
    assert (lost.read_bytes(), damaged.read_bytes()) == contents


def test_files_without_checksums_are_accepted_and_counted(context: StreamContext, settings: Settings) -> None:
    (path, *_) = files_of(context, "events", DAYS[0])
    plain = path.with_name(f"{path.stem.partition('-')[0]}.parquet")
    path.rename(plain)
    old = path.relative_to(folder_of(context.lake)).as_posix()
    with context.database.transaction() as connection:
        new = plain.relative_to(folder_of(context.lake)).as_posix()
        connection.execute(
            "update sessions_platform.landing_versions set events_path = %s where events_path = %s", [new, old]
        )
    context = reopened(context, settings)
    before = tables(context)
    read_everything(context)
    assert tables(context) == before
    with context.database.transaction() as connection:
        connection.execute(
            """update sessions_platform.landing_versions set events_path = %s
               where stream = %s and landing_partition = %s and is_current""",
            [new, context.stream.name, DAYS[0]],
        )
    verified = verify(context, RUN, deep=True)
    assert (verified.problems, verified.without_checksum) == ([], 1)


def test_the_command_prints_what_it_finds_and_repairs(
    context: StreamContext, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions_platform.cli.verification.contexts", lambda _: [context])
    (path, *_) = files_of(context, "events", DAYS[1])
    path.unlink()

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        with pytest.raises(SystemExit) as ended:
            cli.app(["verify", context.stream.name, "--json", *arguments])
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    code, document = run()
    assert code == 3
    assert [(one["kind"], one["partition"], one["rows"]) for one in document["problems"]] == [("missing", DAYS[1], 108)]
    code, document = run("--repair")
    assert (code, document["problems"]) == (0, [])
    assert document["repaired"][0]["repaired"] == "validated again from raw_events"
    assert run("--deep")[0] == 0


def test_no_flipped_bit_in_the_lake_changes_a_table(
    tmp_path: Path, settings: Settings, record_property: Callable[[str, object], None]
) -> None:
    """Each is noticed by whoever reads the byte, or changes nothing; and a deep verification notices all of them."""
    context = landed(tmp_path / "landing", settings)
    before, generator = tables(context), random.Random(72)
    counts = {"noticed": 0, "harmless": 0}
    kinds = [*ASSETS, "quarantined_files"]
    for number in range(FLIPS):
        asset = kinds[number % len(kinds)]
        path = generator.choice(files_of(context, asset))
        original, place = path.read_bytes(), flip(path, generator=generator)
        fresh = reopened(context, settings)
        assert [kind for kind, *_ in found(fresh, deep=True)] == ["damaged"], (asset, place)
        try:
            read_everything(reopened(context, settings))
        except LakeFileError:
            counts["noticed"] += 1
        else:
            counts["harmless"] += 1
        path.write_bytes(original)
        if tables(context) != before:
            raise AssertionError((asset, place))
    record_property("flips", counts)
    assert sum(counts.values()) == FLIPS
