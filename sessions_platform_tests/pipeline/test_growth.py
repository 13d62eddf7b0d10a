"""Landing files that go on growing: each row once, in the landing partition of the first run that had all of it."""

import gzip
import shutil
from collections.abc import Callable, Iterable
from itertools import chain, count
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.operations.erase import erase
from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.operations.verify import verify
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.growth import divided
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.base import NO_CURSORS, Cursors, Found, Quarantine, Slice, file_uri
from sessions_platform.sources.files.reader import FileReading
from sessions_platform.sources.files.source import FileSource
from sessions_platform.sources.formats.registry import open_format
from sessions_platform_tests.ingested import QUARANTINED, ingest_and_publish, open_folder, rows_of
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.operations.erasure import NO_IDS
from sessions_platform_tests.streams import PLAIN

DAYS = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]
SOURCES: dict[str, dict[str, Any]] = {
    "ndjson": {"format": "ndjson"},
    "csv": {"format": "csv"},
    "regex": {"format": "regex", "pattern": "(?<id>[^ ]*) (?<user>[^ ]*) (?<ts>[^ ]*) (?<type>.*)"},
    "logfmt": {"format": "logfmt"},
    "w3c": {"format": "w3c"},
    "query": {"format": "query"},
}
HEADERS = {"csv": "id,user,ts,type\n", "w3c": "#Version: 1.0\n#Fields: id user ts type\n"}
TYPES = st.sampled_from(["view", "", "é", "x" * 40])


def record(kind: str, number: int, text: str) -> str:
    at = "2026-01-01T12:00:00Z"
    return {
        "ndjson": f'{{"id":"{number}","user":"ann","ts":"{at}","type":"{text}"}}',
        "csv": f'{number},ann,{at},"{text}\n, ""{text}"""' if number % 3 else f"{number},ann,{at},{text}",
        "regex": f"{number} ann {at} {text}",
        "query": f"?id={number}&user=ann&ts={at}&type={text}",
        "logfmt": f'id={number} user=ann ts={at} type="{text}"',
        "w3c": f"#Fields: type id user ts\n{text or '-'} {number} ann {at}"
        if number % 5 == 4
        else f"x {number} ann {at}",
    }[kind]


def line_ends(text: bytes) -> list[int]:
    """The size of the text before, amid and behind each line end."""
    ends = [at for at, byte in enumerate(text, 1) if byte == ord("\n")]
    return [max(0, end - less) for end in ends for less in range(3)]


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, bytes, list[tuple[int, str]]]:
    """A format, the text of a file, and when runs saw how many bytes of it."""
    kind = draw(st.sampled_from(sorted(SOURCES)))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    texts = [record(kind, n, draw(TYPES)) + end for n in range(draw(st.integers(1, 12)))]
    text = HEADERS.get(kind, "") + "".join(texts)
    size = st.integers(0, len(text.encode())) | st.sampled_from(line_ends(text.encode()))
    if kind in HEADERS:
        size |= st.integers(1, len(HEADERS[kind]) - 1)
    sizes = sorted(draw(st.lists(size, min_size=1, max_size=5)))
    days = sorted(draw(st.lists(st.sampled_from(DAYS), min_size=len(sizes), max_size=len(sizes))))
    return kind, text.encode(), list(zip(sizes, days, strict=True))


@pytest.fixture
def open_logs(tmp_path: Path, settings: Settings) -> Callable[..., StreamContext]:
    def make(folder: str = "logs", **source: Any) -> StreamContext:
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        return open_folder(path, settings, source={"files": "*.log*", **source})

    return make


def log_of(context: StreamContext, name: str = "access.log") -> Path:
    return context.stream.path.parent / name


def append(context: StreamContext, content: bytes, name: str = "access.log") -> None:
    with log_of(context, name).open("ab") as file:
        file.write(content)


def line(number: int, day: int = 1) -> bytes:
    return b'{"id":"%03d","user":"u%d","ts":"2026-01-%02dT12:00:00Z","type":"view"}\n' % (number, number % 3, day)


def run(context: StreamContext, day: str) -> None:
    """A run of the current day, and then one of each other day that it leaves with slices to read."""
    ingest(context, [day], "a-run", day)
    for other in to_read(context, day):
        ingest(context, [other], "a-run", day)
    assert to_read(context, day) == []


def to_read(context: StreamContext, day: str) -> list[str]:
    """The partitions with slices that are new or have changed, where this day is the current one."""
    known = context.ledger.fingerprints()
    slices = divided(context.source, context.ledger, context.found(), day).slices
    states = [(known.get(slice_.uri, (day, None)), slice_.fingerprint) for slice_ in slices]
    return sorted({partition for (partition, before), now in states if before != now})


def raw(context: StreamContext, name: str = "access.log") -> pl.DataFrame:
    """The rows of a file in all partitions, in its order."""
    rows = context.raw_events(DAYS).scan().collect()
    of_file = [file_uri(uri) == name for uri in rows["source_uri"]]
    return rows.filter(pl.Series(of_file, dtype=pl.Boolean)).sort("source_uri", "position")


def partitions(context: StreamContext, name: str = "access.log") -> dict[str, int]:
    """How many rows of a file each partition has."""
    return dict(raw(context, name).group_by("landing_partition").len().sort("landing_partition").iter_rows())


def rows_at_once(path: Path, text: bytes, context: StreamContext) -> pl.DataFrame:
    """The rows of the same text in a file that nobody has read before."""
    source = context.stream.source
    assert isinstance(source, FilesSource)
    path.write_bytes(text)
    file_format = open_format(source, context.stream.required_fields)
    rows = rows_of(FileReading(path, source, file_format, QUARANTINED.quarantine))
    is_corrupt = pl.col("corrupt_reason").is_not_null()
    quarantined = pl.lit(f"{context.stream.name}/quarantined_files/").cast(pl.Binary) + pl.col("payload")
    return rows.with_columns(payload=pl.when(is_corrupt).then(quarantined).otherwise("payload"))


def text_of(rows: pl.DataFrame) -> bytes:
    parts = rows.select("preamble", "payload", "line_terminator").rows()
    return b"".join(part or b"" for row in parts for part in row)


def ends(rows: pl.DataFrame) -> list[int]:
    """Where in the file each row ends."""
    parts = pl.col("preamble", "payload", "line_terminator").bin.size().fill_null(0)
    return rows.select(pl.sum_horizontal(parts).alias("size"))["size"].cum_sum().to_list()


@pytest.mark.slow
def test_each_row_of_a_growing_file_is_there_once_in_the_partition_of_the_first_run_that_had_it(
    open_logs: Callable[..., StreamContext], tmp_path: Path
) -> None:
    opened = {kind: open_logs(kind, **source) for kind, source in SOURCES.items()}
    names = (f"{number}.log" for number in count())

    @given(history=histories())
    @hypothesis_settings(max_examples=40, deadline=None)
    def check(history: tuple[str, bytes, list[tuple[int, str]]]) -> None:
        kind, text, runs = history
        context, name, before = opened[kind], next(names), 0
        for number, (size, day) in enumerate(runs):
            append(context, text[before:size], name)
            run(context, day)
            rows, before = raw(context, name), size
            whole = rows_at_once(tmp_path / "whole", text[:size], context)
            assert rows.select(whole.columns).equals(whole)
            if rows["corrupt_reason"].null_count() < rows.height:  # the header is cut off
                assert rows["landing_partition"].to_list() == [next(of for at, of in runs[: number + 1] if at >= size)]
                continue
            assert text_of(rows) == text[:size] or not rows.height
            for row, end in zip(rows.iter_rows(named=True), ends(rows), strict=True):
                if (row["line_terminator"] or b"").endswith(b"\n"):
                    assert row["landing_partition"] == next(of for at, of in runs[: number + 1] if at >= end)
        log_of(context, name).unlink()

    check()


def test_lines_of_later_days_are_no_events_from_the_future(open_logs: Callable[..., StreamContext]) -> None:
    context = open_logs()
    append(context, line(1))
    ingest(context, [DAYS[0]], "a-run", DAYS[0])
    append(context, line(2, day=2))
    assert pending_landing_partitions(context, DAYS[1]) == DAYS[:2]  # the first is not published yet
    ingest(context, [DAYS[1]], "a-run", DAYS[1])
    days = [ingest_and_publish(context, day) for day in DAYS[:2]]
    assert [day.events["event_id"].to_list() for day in days] == [["001"], ["002"]]
    assert [day.rejected.height for day in days] == [0, 0]
    assert pending_landing_partitions(context, DAYS[1]) == []


@pytest.mark.parametrize("cut", [1, len(line(2)) - 1])
def test_a_line_that_is_completed_later_is_neither_lost_nor_doubled_nor_left_rejected(
    open_logs: Callable[..., StreamContext], cut: int
) -> None:
    context = open_logs()
    append(context, line(1) + line(2)[:cut])
    run(context, DAYS[0])
    assert partitions(context) == {DAYS[0]: 2}
    append(context, line(2)[cut:])
    run(context, DAYS[1])
    assert partitions(context) == {DAYS[0]: 1, DAYS[1]: 1}
    assert raw(context)["payload"].to_list() == [line(1)[:-1], line(2)[:-1]]
    days = [ingest_and_publish(context, day) for day in DAYS[:2]]
    assert [day.codes() for day in days] == [[], []]


def test_a_quoted_field_that_is_completed_later_is_one_row(open_logs: Callable[..., StreamContext]) -> None:
    """Until then its lines are rows, since the quote may have been left open by mistake."""
    context = open_logs(format="csv")
    append(context, b'id,user,ts,type\n1,ann,2026-01-01T12:00:00Z,view\n2,ann,2026-01-01T12:00:00Z,"vi\n')
    run(context, DAYS[0])
    assert partitions(context) == {DAYS[0]: 2}
    append(context, b'ew"\n')
    run(context, DAYS[1])
    assert partitions(context) == {DAYS[0]: 1, DAYS[1]: 1}
    assert raw(context)["payload"][1].endswith(b'"vi\new"')


@pytest.mark.parametrize(
    ("before", "rest"),
    [(b"i", b"d,user,ts,type\n"), (b'id,user,ts,type,"mo\n', b're"\n')],
    ids=["amid its names", "amid a quoted name"],
)
def test_a_header_that_is_completed_later_is_no_unreadable_file(
    open_logs: Callable[..., StreamContext], before: bytes, rest: bytes
) -> None:
    context = open_logs(format="csv")
    append(context, before)
    run(context, DAYS[0])
    assert raw(context)["corrupt_reason"].null_count() == 0
    append(context, rest + b"1,ann,2026-01-02T12:00:00Z,view" + b"," * before.count(b",", 15) + b"\n")
    run(context, DAYS[1])
    assert partitions(context) == {DAYS[1]: 1}
    assert raw(context)["corrupt_reason"].null_count() == 1


def test_a_file_with_another_header_than_is_needed_is_unreadable_where_it_is(
    open_logs: Callable[..., StreamContext],
) -> None:
    context = open_logs(format="csv")
    for day in DAYS[:2]:
        append(context, b"a,b\n1,2\n")
        run(context, day)
    assert partitions(context) == {DAYS[0]: 1}


def test_a_date_in_the_files_name_is_that_of_all_its_slices(tmp_path: Path, settings: Settings) -> None:
    at = {"from": "at", "from_file_name": r"(\d{8})\.log$", "formats": ["%Y%m%d %H:%M"]}
    columns = {**PLAIN["columns"], "event_timestamp": at}
    context = open_folder(tmp_path, settings, source={"files": "*.log"}, columns=columns)
    for number, day in enumerate(DAYS[:2]):
        append(context, b'{"id":"%d","user":"ann","at":"12:0%d","type":"view"}\n' % (number, number), "a-20260101.log")
        run(context, day)
    days = [ingest_and_publish(context, day) for day in DAYS[:2]]
    assert [day.events["source_uri"].to_list() for day in days] == [
        ["a-20260101.log"],
        ["a-20260101.log#from=2026-01-02"],
    ]
    moments = [f"{day.events[0, 'event_timestamp']:%Y-%m-%d %H:%M}" for day in days]
    assert moments == ["2026-01-01 12:00", "2026-01-01 12:01"]


def test_a_path_that_would_be_taken_for_a_slice_is_skipped(open_logs: Callable[..., StreamContext]) -> None:
    context = open_logs()
    append(context, line(1), "access.log#from=2026-01-01")
    found = context.found()
    assert (list(found.slices), [skipped.place for skipped in found.skipped]) == ([], ["access.log#from=2026-01-01"])


def test_what_was_appended_is_not_read_by_a_run_of_an_older_day(open_logs: Callable[..., StreamContext]) -> None:
    context = open_logs()
    append(context, line(1))
    run(context, DAYS[0])
    append(context, line(2, day=2))
    ingest(context, [DAYS[0]], "a-run", DAYS[1])
    assert partitions(context) == {DAYS[0]: 1}
    run(context, DAYS[1])
    assert partitions(context) == {DAYS[0]: 1, DAYS[1]: 1}


@pytest.mark.slow
@pytest.mark.parametrize("after", [line(8), line(8) + line(9) + line(10) + line(11)], ids=["shorter", "longer"])
def test_a_file_that_was_written_anew_replaces_all_of_its_rows(
    open_logs: Callable[..., StreamContext], after: bytes
) -> None:
    """As by copytruncate: what it had is in the copy."""
    context = open_logs()
    for number, day in enumerate(DAYS[:3]):
        append(context, line(number))
        run(context, day)
    shutil.copyfile(log_of(context), log_of(context, "access.log.1"))
    log_of(context).write_bytes(after)
    run(context, DAYS[2])
    assert text_of(raw(context)) == after
    assert list(partitions(context)) == DAYS[:1]
    assert text_of(raw(context, "access.log.1")) == b"".join(map(line, range(3)))
    append(context, line(12, day=4))
    run(context, DAYS[3])
    assert text_of(raw(context)) == after + line(12, day=4)
    assert partitions(context)[DAYS[3]] == 1


@pytest.mark.slow
def test_a_file_that_is_renamed_with_more_text_leaves_each_event_once(open_logs: Callable[..., StreamContext]) -> None:
    context = open_logs()
    append(context, line(1))
    run(context, DAYS[0])
    append(context, line(2, day=2))
    run(context, DAYS[1])
    append(context, line(3, day=2))
    log_of(context).rename(log_of(context, "access.log.1"))
    append(context, line(4))
    run(context, DAYS[1])
    events = [ingest_and_publish(context, day).events["event_id"].to_list() for day in DAYS[:2]]
    assert sorted(chain.from_iterable(events)) == ["001", "002", "003", "004"]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [PLAIN["columns"], NO_IDS], ids=["ids", "derived ids"])
def test_a_copy_of_a_growing_file_counts_once(tmp_path: Path, settings: Settings, columns: dict[str, Any]) -> None:
    context = open_folder(tmp_path, settings, source={"files": "*.log*"}, columns=columns)
    append(context, line(1))
    run(context, DAYS[0])
    append(context, line(2) + line(2))
    run(context, DAYS[1])
    alone = ingest_and_publish(context, DAYS[1]).events.height
    shutil.copyfile(log_of(context), log_of(context, "access.log.1"))
    both = ingest_and_publish(context, DAYS[1])
    assert both.raw.height == 5
    assert both.events.height == alone + 1  # the row of the first day, which counts once where sessions are made


class Interrupted(FileSource):
    """A source during whose first reading, or before whose second look, something else happens."""

    interrupt: Callable[[], None] | None = None
    before_second_look: Callable[[], None] | None = None

    def search(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> Found:
        second, self.before_second_look = self.before_second_look, None
        if second and not self._has_looked:
            self._has_looked, self.before_second_look = True, second
        elif second:
            second()
        return super().search(landing_partitions, cursors)

    _has_looked = False

    def read(self, slice_: Slice, quarantine: Quarantine) -> FileReading:
        interrupt, self.interrupt = self.interrupt, None
        if interrupt:
            interrupt()
        return super().read(slice_, quarantine)


@pytest.mark.slow
def test_two_runs_that_find_the_same_lines_leave_each_once(
    open_logs: Callable[..., StreamContext], settings: Settings
) -> None:
    """The one of the day that ends extends its slice, while the one of the day that begins takes a new one."""
    context = open_logs()
    append(context, line(1))
    run(context, DAYS[0])
    append(context, line(2))
    source = Interrupted(context.stream)
    source.interrupt = lambda: run(context, DAYS[1])
    ingest(StreamContext.open(context.stream, settings, source), [DAYS[0]], "other-run", DAYS[0])
    run(context, DAYS[1])
    assert raw(context)["payload"].to_list() == [line(1)[:-1], line(2)[:-1]]
    append(context, line(3))
    run(context, DAYS[2])
    assert text_of(raw(context)) == line(1) + line(2) + line(3)


@pytest.mark.slow
def test_lost_raw_files_of_a_growing_file_are_made_anew(open_logs: Callable[..., StreamContext]) -> None:
    context = open_logs(format="csv")
    append(context, b"id,user,ts,type\n" + b"1,ann,2026-01-01T12:00:00Z,view\n2,ann,2026-01-0")
    run(context, DAYS[0])
    append(context, b'1T12:00:00Z,view\n3,ann,2026-01-01T12:00:00Z,"vi')
    run(context, DAYS[1])
    append(context, b'ew\n"\n4,ann,2026-01-01T12:00:00Z,view')
    run(context, DAYS[2])
    before = raw(context)
    assert before["position"].to_list() == [1, 2, 3, 4]
    append(context, b"er\n")  # nobody has read that yet
    for path in folder_of(context.lake).rglob("raw_events/**/*.parquet"):
        path.unlink()
    verified = verify(context, "a-run", deep=True, repairing=True)
    assert (len(verified.repaired), verified.problems) == (3, [])
    assert raw(context).equals(before)


@pytest.mark.slow
def test_an_erasure_moves_the_slices_of_a_growing_file(
    open_logs: Callable[..., StreamContext], settings: Settings
) -> None:
    context = open_logs(rewrite_on_erasure="all")
    for number, day in enumerate(DAYS[:3]):
        append(context, line(3 * number) + line(3 * number + 1) + line(3 * number + 2))
        run(context, day)
    for day in DAYS[:3]:
        ingest_and_publish(context, day)
    append(context, line(9))
    source = Interrupted(context.stream)
    source.before_second_look = lambda: append(context, line(10))
    assert "written to meanwhile" in str(erase(StreamContext.open(context.stream, settings, source), ["u0"])["left"])
    assert to_read(context, DAYS[2]) == [DAYS[2]]
    erase(context, ["u0"])
    assert b"u0" not in log_of(context).read_bytes()
    run(context, DAYS[3])
    rows = raw(context)
    assert rows["position"].to_list() == [2, 3, 5, 6, 8, 9, 11]
    assert partitions(context) == dict.fromkeys(DAYS[:3], 2) | {DAYS[3]: 1}
    for path in folder_of(context.lake).rglob("raw_events/**/*.parquet"):
        path.unlink()
    assert verify(context, "a-run", deep=True, repairing=True).problems == []
    assert raw(context).equals(rows)
    erase(context, ["u1"])
    append(context, line(14))
    run(context, DAYS[3])
    assert raw(context)["position"].to_list() == [3, 6, 9, 12]


def test_a_file_whose_path_states_the_partition_is_one_slice_in_it(tmp_path: Path, settings: Settings) -> None:
    context = open_folder(tmp_path, settings)
    (tmp_path / DAYS[0]).mkdir()
    for number in (1, 2):
        append(context, line(number), f"{DAYS[0]}/access.log")
        ingest(context, DAYS[:2], "a-run", DAYS[1])
    assert [file.uri for file in context.ledger.files()] == [f"{DAYS[0]}/access.log"]
    assert partitions(context, f"{DAYS[0]}/access.log") == {DAYS[0]: 2}


@pytest.mark.slow
def test_a_packed_file_is_one_slice(open_logs: Callable[..., StreamContext]) -> None:
    context = open_logs()
    for number, day in enumerate(DAYS[:2]):
        append(context, gzip.compress(line(number)), "access.log.gz")
        run(context, day)
    assert partitions(context, "access.log.gz") == {DAYS[0]: 2}
