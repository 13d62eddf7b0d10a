"""A benchmark of a wrong answer fails; one of a right answer reports ratios and targets."""

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks import __main__ as program
from benchmarks import answers, core, data, ingest, phases
from benchmarks.bench import Bench
from benchmarks.data import Cache
from benchmarks.growth import fitted
from benchmarks.measure import Failed, Run
from benchmarks.results import TARGETS, Comparison, Figure, validated

NO_TIME = dict.fromkeys(phases.ORDER, 0.0)
SESSIONS = pl.DataFrame({"user_id": ["ann", "bob", None], "event_count": [2, 1, 1]})


def digest(folder: Path, frame: pl.DataFrame) -> str:
    frame.write_parquet(folder / "rows.parquet")
    return answers.digests({"rows": (str(folder / "rows.parquet"), frame.columns)})["rows"]


def test_an_order_changes_no_digest_and_any_value_does(tmp_path: Path) -> None:
    right = digest(tmp_path, SESSIONS)
    assert digest(tmp_path, SESSIONS.reverse()) == right
    changed = [
        SESSIONS.with_columns(event_count=pl.lit(pl.Series([2, 1, 2]))),
        SESSIONS.with_columns(user_id=pl.col("user_id").fill_null("")),
        SESSIONS.with_columns(event_count=pl.col("event_count").reverse()),
        SESSIONS.vstack(SESSIONS[:1]),
        SESSIONS[:2],
    ]
    assert right not in {digest(tmp_path, frame) for frame in changed}


def test_a_value_that_moves_over_to_the_next_column_changes_the_digest(tmp_path: Path) -> None:
    assert digest(tmp_path, pl.DataFrame({"a": ["xy"], "b": ["z"]})) != digest(
        tmp_path, pl.DataFrame({"a": ["x"], "b": ["yz"]})
    )


def test_answers_that_share_nothing_are_no_agreement() -> None:
    with pytest.raises(Failed, match="nothing in common to compare"):
        answers.check_equal({"sessions": "1"}, {}, "core")


@pytest.mark.slow
def test_a_wrong_answer_ends_the_program_with_code_1_and_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The planted peer is wrong by one minute of the gap."""
    monkeypatch.setattr(
        "sys.argv", ["benchmarks", "core", "--rows", "20000", "--pairs", "1", "--folder", str(tmp_path)]
    )
    own_peers = {"duckdb": core.Peer("in_duckdb", "a peer of another rule", {"gap": 29 * 60 * 1_000_000})}
    monkeypatch.setattr(core, "PEERS", own_peers)
    assert program.main() == 1
    printed = capsys.readouterr().err
    assert "core, duckdb: the answers differ in sessions: ours is" in printed
    assert "Traceback" not in printed


def test_data_is_as_large_as_asked_the_same_each_time_and_broken_where_it_says(tmp_path: Path) -> None:
    frames = list(data.blocks(40_000, 1, 7))
    again = list(data.blocks(40_000, 1, 7))
    assert [frame.height for frame in frames] == [40_000]
    assert frames[0].equals(again[0])
    events = frames[0]
    assert 0.005 < 1 - events["event_id"].n_unique() / events.height < 0.011
    is_bad = pl.col("user_id").is_null() | (pl.col("amount") < 0) | (pl.col("event_type") == "teleport")
    assert 0.008 < events.filter(is_bad).height / events.height < 0.012
    for form, broken in (("ndjson", "block"), ("csv", "spread")):
        folder = tmp_path / form
        folder.mkdir()
        data.make("texts", str(folder), 40_000, 7, form=form, broken=broken)
        lines = (folder / f"events.{form}").read_bytes().split(b"\n")[:-1]
        lines = lines[1:] if form == "csv" else lines
        planted = [line.split(b"\t", 1) for line in (folder / "planted").read_bytes().split(b"\n")[:-1]]
        assert 100 < len(planted) < 300
        assert all(lines[int(position) - 1] == text for position, text in planted)
        assert len(lines) == 40_000 + len(planted)


def test_other_forms_of_json_have_the_same_events(tmp_path: Path) -> None:
    data.make("wrapped", str(tmp_path), 1_150, 7)
    lines = (tmp_path / "events.ndjson").read_bytes().splitlines()
    assert (tmp_path / "array.json").read_bytes() == b"[" + b",\n".join(lines) + b"]\n"
    batches = [json.loads(line)["batch"] for line in (tmp_path / "batches.ndjson").read_bytes().splitlines()]
    assert [len(batch) for batch in batches] == [*[100] * 11, 50]
    assert [event for batch in batches for event in batch] == list(map(json.loads, lines))


@pytest.mark.slow
def test_other_forms_are_compared_with_a_simpler_one_of_the_same_events(tmp_path: Path) -> None:
    """A small size: what counts here is that the answers are equal, and the targets have the names of the pairs."""
    bench = Bench(Cache(tmp_path), pairs=1, asked_rows=2_000, quiet=True)
    results = list(ingest.forms(bench))
    assert [validated(result)["target"] for result in results] == [[{"time": 2.0}], [{"time": 1.4286}], [{"time": 2.0}]]


def test_json_lines_hold_the_values_of_their_rows() -> None:
    events = next(data.blocks(5_000, 1, 7))
    printed = [json.loads(line) for line in data.json_lines(events, np.random.default_rng(1))]
    for name in ("event_id", "page_url", "referrer", "amount"):
        assert [fields.get(name) for fields in printed] == events[name].to_list()
    assert {fields.get("user_id") for fields in printed} >= {"", None}
    assert len({frozenset(fields) for fields in printed}) > 4


def test_a_target_is_reached_when_one_of_its_alternatives_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    alternatives = [{"time": 0.7, "peak": 0.3334}, {"time": 0.5, "peak": 1.0}]
    monkeypatch.setitem(TARGETS, "core/duckdb", alternatives)

    def core_job(wall: float, peak: int) -> Comparison:
        return Comparison("core/duckdb", "", 1, [Run(wall, 1, peak)], [Run(10, 1, 100)])

    validations = [
        validated(core_job(wall, peak))["reached"] for wall, peak in ((6.9, 33), (6.9, 40), (5, 100), (5, 101))
    ]
    assert validations == [True, False, True, False]
    assert validated(Figure("nothing to reach", "", 1, [1.0], "s")) == {}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [0.0]
    monkeypatch.setattr(phases.time, "monotonic", lambda: moment[0])
    return moment


def test_clocks_give_each_phase_its_own_time(now: list[float]) -> None:
    clocks = phases.Clocks(0.0)

    def rows() -> Iterator[int]:
        for _ in range(2):
            now[0] += 1
            yield 1

    def frames() -> Iterator[int]:
        for row in clocks.around(rows, "read")():
            now[0] += 0.5  # nobody's
            yield row

    def write(_lake: None, _folder: str, frames: Iterator[int], _schema: None) -> None:
        for _ in frames:
            now[0] += 10

    now[0] += 100
    clocks.around(write, phases.WRITE)(None, "", frames(), None)
    now[0] += 1000
    assert clocks.by_phase() == {**NO_TIME, phases.START: 100, "read": 2, "write": 20, phases.REST: 1001}


def test_phases_that_are_worked_for_at_once_share_the_time(now: list[float]) -> None:
    clocks = phases.Clocks(0.0)
    begun, over = threading.Event(), threading.Event()

    def parse() -> None:
        begun.set()
        over.wait()

    thread = threading.Thread(target=clocks.around(parse, "parse"))
    with clocks.running("validate"):
        thread.start()
        begun.wait()
        now[0] += 10
        over.set()
        thread.join()
        now[0] += 3
    assert clocks.by_phase() == {**NO_TIME, "parse": 5, "validate": 8}


def test_functions_behind_clocks_are_there() -> None:
    for _, owner, name in phases.functions():
        assert callable(getattr(owner, name))


def test_the_exponent_of_a_power_law_is_found() -> None:
    sizes = [random.Random(1).randint(10, 1000) * number for number in (1, 7, 90)]
    assert fitted([3 * size**1.25 for size in sizes], sizes) == pytest.approx(1.25)


def test_broken_rows_are_identified_by_number_and_bytes() -> None:
    assert ingest.digest_of_rows(b"1\tx\n2\ty\n") != ingest.digest_of_rows(b"1\tx\n3\ty\n")
    assert ingest.digest_of_rows(b"").startswith("0 rows")


def test_data_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[str]] = []
    monkeypatch.setattr("benchmarks.measure.run", made.append)
    bench = Bench(Cache(tmp_path))
    assert bench.cache.get("parquet", 1000) == bench.cache.get("parquet", 1000)
    assert bench.cache.get("parquet", 2000) != bench.cache.get("parquet", 1000)
    assert len(made) == 2
