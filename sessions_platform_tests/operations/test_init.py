"""Of files of unknown kind `init` makes a stream that reads them without an edit, or says what could not be told."""

import json
import os
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.cli.init import proposal_lines
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.errors import UserError
from sessions_platform.operations.init import new_stream_path, propose, write_stream
from sessions_platform.operations.preview import preview
from sessions_platform.settings import DEMO_STREAMS, Settings
from sessions_platform.transforms.silences import silences
from sessions_platform_tests.operations.unknown_files import MAKERS, ROWS, visits

# Kinds that are read in some hundredths of a second; the others run with the slow tests.
QUICK = (
    "csv between bars in gzip with epoch seconds",
    "ndjson of envelopes with the user outside",
    "an access log in the combined format",
)
EVERY_KIND = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in MAKERS]
# What of a file is another value than in the visits: users with a second name, and types that logs do not have.
MORE_USERS = {"csv with mixed words for null"}
OTHER_TYPES = {
    "a data feed of tabs with its names in a file": {"0", "1", "2", "3"},
    "an access log in the combined format": {"GET", "200"},
    "a w3c log": {"GET"},
}


def settings_of(folder: Path) -> Settings:
    return Settings(folder / "home", folder / "lake", (DEMO_STREAMS, folder / "streams"))


def made(folder: Path, kind: str) -> list[Path]:
    place = folder / "export"
    place.mkdir()
    return MAKERS[kind](place)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_file_of_unknown_kind_becomes_a_stream_that_accepts_its_rows(tmp_path: Path, kind: str) -> None:
    """And means the same: the users, the times to the second, and the types are those of the visits."""
    settings, files = settings_of(tmp_path), made(tmp_path, kind)
    path = new_stream_path("shop", settings)
    proposal = propose("shop", files, settings, path.parent)
    write_stream(path, proposal.text)
    stream = load_stream(path, settings.home)
    seen = preview(stream, settings, files)
    assert not proposal.problems
    assert stream.start == date(2025, 12, 1)  # a month that begins a week or more before the earliest event
    assert seen.events.height >= 0.99 * ROWS
    assert seen.events.height >= 0.99 * (seen.raw_rows - seen.skipped)
    times = Counter(at.replace(microsecond=0) for at in seen.events["event_timestamp"])
    assert times == Counter(visit.at.replace(microsecond=0) for visit in visits())
    users = seen.events["user_id"].n_unique()
    expected = len({visit.user for visit in visits()})
    assert users > expected if kind in MORE_USERS else users == expected
    assert set(seen.events["event_type"]) == OTHER_TYPES.get(kind, {"view", "search", "cart", "buy"})


def test_at_least_twenty_kinds_are_tried() -> None:
    assert len(MAKERS) >= 20


def test_init_counts_the_silences_of_the_events_and_shows_five_rows(tmp_path: Path) -> None:
    """In lines of the terminal's width, of a folder that has the file."""
    settings, (file,) = settings_of(tmp_path), made(tmp_path, QUICK[0])
    proposal = propose("shop", [file.parent], settings)
    for width in (40, 80):
        lines = list(proposal_lines(proposal, file, width))
        assert max(map(len, lines)) <= width
        assert sum(line.strip().startswith("30m ") for line in lines) == 2
    assert proposal.shown
    assert proposal.tried
    assert proposal.silences
    assert proposal.shown.raw_rows == 5
    assert proposal.silences.sessions.equals(silences(proposal.tried.events).sessions)
    assert proposal.silences.events == ROWS


def written(path: Path, text: str) -> list[Path]:
    path.write_text(text)
    return [path]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ts,event\n2026-01-01T10:00:00Z,view\n", "no column looks like a user: set columns.user_id.from"),
        ("user_id,event\nann,view\n", "no column looks like a time: set columns.event_timestamp.from"),
        ("user_id,ts,amount\nann,2026-01-01T10:00:00Z,1.5\n", "no column looks like the type of an event"),
    ],
)
def test_what_could_not_be_told_is_a_sentence_and_a_line_to_fill_in(tmp_path: Path, text: str, sentence: str) -> None:
    proposal = propose("shop", written(tmp_path / "a.csv", text), settings_of(tmp_path))
    assert len(proposal.problems) == 1
    assert proposal.problems[0].startswith(sentence)
    assert "{from: …}" in proposal.text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"),
        (b"user;ts\n", r"a header, but it has no row\. Fix: name a file with events"),
        (b"\x1f\x8bno gzip", r"no gzip data.*Fix: name a file that is whole"),
        (b"hello world\nof no kind\n", "it is none of JSON, CSV, an access log, W3C or logfmt"),
        (b"%PDF-1.7\n", "it is a PDF"),
        ("user,ts\n".encode("utf-16"), "it is a file in UTF-16"),
    ],
)
def test_a_file_that_no_stream_reads_is_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        propose("shop", [path], settings_of(tmp_path))


def test_a_user_of_one_value_and_one_that_is_nearly_always_null_are_warned_of(tmp_path: Path) -> None:
    rows = "".join(f"{'ann' if n == 50 else '-'},u{n % 7},x,{1767225600 + n},view\n" for n in range(100))
    text = f"user_id,visitor_id,account,ts,event\n{rows}"
    proposal = propose("shop", written(tmp_path / "a.csv", text), settings_of(tmp_path))
    assert "user_id is null in 99% of the rows." in proposal.warnings
    assert "account has one value in all rows of the sample, 'x'." in proposal.warnings


def test_events_that_lie_behind_the_day_in_their_files_name_are_accepted(tmp_path: Path) -> None:
    """The file is named by a day of New York: its last events are of the next day in UTC."""
    rows = "".join(f"u{n % 7},2026-01-0{2 if n > 40 else 1}T03:00:{n % 60:02}Z,view\n" for n in range(50))
    files = written(tmp_path / "hits-20260101.csv", f"user,ts,event\n{rows}")
    proposal = propose("shop", files, settings_of(tmp_path))
    assert "max_future: 1d" in proposal.text
    assert proposal.tried
    assert proposal.tried.events.height == 50


def test_a_number_beyond_the_sample_that_is_none_makes_its_column_a_text(tmp_path: Path) -> None:
    rows = "".join(f"u{n % 7},{1767225600 + n},view,{n if n < 1500 else 'many'}\n" for n in range(1600))
    proposal = propose("shop", written(tmp_path / "a.csv", f"user,ts,event,count\n{rows}"), settings_of(tmp_path))
    assert "  count: {nullable: true}" in proposal.text
    assert proposal.tried
    assert proposal.tried.rejected_rows == 0


def test_files_in_dated_folders_below_the_streams_are_read_where_they_are(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    folder = settings.streams[-1] / "incoming" / "2026" / "01" / "05"
    folder.mkdir(parents=True)
    files = written(
        folder / "part-1.csv", "user,ts,event\nann,2026-01-05T10:00:00Z,view\nbob,2026-01-05T10:00:00Z,buy\n"
    )
    path = new_stream_path("shop", settings)
    write_stream(path, propose("shop", files, settings, path.parent).text)
    found = preview(load_stream(path, settings.home), settings)
    assert found.files == ("incoming/2026/01/05/part-1.csv",)
    assert found.events["landing_partition"].to_list() == ["2026-01-05"] * 2


def test_a_parameter_in_a_list_is_a_column_and_the_page(tmp_path: Path) -> None:
    settings, files = settings_of(tmp_path), made(tmp_path, "ndjson with parameters in a list")
    proposal = propose("shop", files, settings)
    assert "  page_url: {from: 'event_params[key=page_location].value.string_value'" in proposal.text
    assert "  value: {from: 'event_params[key=value].value.double_value', type: float, nullable: true}" in proposal.text
    assert proposal.tried
    assert set(proposal.tried.events["page_url"]) == {visit.url for visit in visits()}
    assert set(proposal.tried.events["value"].drop_nulls()) == {visit.amount for visit in visits()} - {None}


def test_hours_in_names_are_landing_partitions(tmp_path: Path) -> None:
    lines = {hour: f"user,ts,event\nann,2026-01-05T{hour}:10:00Z,view\nbob,2026-01-05T{hour}:20:00Z,buy\n"
             for hour in ("08", "09", "17")}  # fmt: skip
    files = [file for hour, text in lines.items() for file in written(tmp_path / f"e-2026-01-05-{hour}.csv", text)]
    settings = settings_of(tmp_path)
    path = new_stream_path("shop", settings)
    write_stream(path, propose("shop", files, settings, path.parent).text)
    assert "\nlanding: hourly\n" in path.read_text()
    seen = preview(load_stream(path, settings.home), settings, files)
    assert sorted(set(seen.events["landing_partition"])) == [f"2026-01-05T{hour}" for hour in lines]


def test_a_stream_that_exists_is_not_replaced_and_a_name_has_to_be_one(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    settings.streams[-1].mkdir()
    with pytest.raises(UserError, match="has a stream of this name"):
        new_stream_path("web_shop", settings)
    path = new_stream_path("shop", settings)
    write_stream(path, "kept")
    with pytest.raises(UserError, match="is not replaced"):
        new_stream_path("shop", settings)
    with pytest.raises(UserError, match="can't be written: File exists"):
        write_stream(path, "other")
    with pytest.raises(UserError, match="can't name a table"):
        new_stream_path("3 shops", settings)
    with pytest.raises(UserError, match="SESSIONS_STREAMS names no folder"):
        new_stream_path("shop", Settings(tmp_path, tmp_path, (DEMO_STREAMS,)))
    assert path.read_text() == "kept"


@pytest.mark.slow
def test_a_newcomer_ingests_three_kinds_of_files_by_init_alone(tmp_path: Path) -> None:
    """The real commands, in a home of their own: init, ingest, sql; no file is edited."""
    environment = {**os.environ, "HOME": str(tmp_path), "SESSIONS_HOME": str(tmp_path / "home"),
                   "SESSIONS_STREAMS": str(tmp_path / "streams"), "COLUMNS": "80"}  # fmt: skip

    def command(*arguments: str) -> str:
        run = subprocess.run(
            [sys.executable, "-m", "sessions_platform", *arguments],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        return run.stdout

    kinds = {"bars": QUICK[0], "envelopes": QUICK[1], "tarred": "members of a tar in gzip that are packed themselves"}
    for name, kind in kinds.items():
        folder = tmp_path / name
        folder.mkdir()
        files = [str(file) for file in made(folder, kind)]
        shown = command("init", name, *files)
        assert max(map(len, shown.splitlines())) <= 80
        status: dict[str, Any] = json.loads(command("ingest", name, *files, "--json"))
        assert (status["accepted"], status["rejected"], status["users"]) == (ROWS, 0, 60)
        assert status["sessions"] == _sessions_of(name, tmp_path, files)


def _sessions_of(name: str, home: Path, files: list[str]) -> int:
    """How many sessions the gap of 30 minutes gives, as init counts them."""
    settings = Settings(home / "home", home / "lake", (home / "streams",))
    stream = load_stream(home / "streams" / f"{name}.yaml", settings.home)
    counted = silences(preview(stream, settings, [Path(file) for file in files]).events)
    return dict(counted.sessions.rows())[stream.session.gap]


@pytest.mark.slow
def test_the_same_files_are_always_sampled_alike(tmp_path: Path) -> None:
    settings, files = settings_of(tmp_path), made(tmp_path, QUICK[1])
    assert propose("shop", files, settings).text == propose("shop", files, settings).text
