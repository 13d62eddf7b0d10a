"""The engine spark without Spark: what it divides, deals and takes up. With it: ``sessions_platform_tests.spark``."""

import errno
import importlib.util
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import polars as pl
import pyarrow as pa
import pytest

from sessions_platform.contracts.object_store import Objects
from sessions_platform.contracts.stream import Stream
from sessions_platform.engines import accepted_events, spark, spark_tasks
from sessions_platform.engines.registry import ENGINES, open_engine
from sessions_platform.engines.spark_session import open_session
from sessions_platform.engines.spark_tasks import Job
from sessions_platform.errors import MissingExtraError, UserError
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.operations.erase_leftovers import remove_superseded_files
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.sessionize import sessionize_again, sessionize_partitions
from sessions_platform.settings import ENGINES as NAMES
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.filesystem import LocalFilesystem, State
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.lake.object_store import ObjectFilesystem
from sessions_platform.transforms.erasure import UserPattern
from sessions_platform_tests.contexts import line
from sessions_platform_tests.engines.reference_engine import ReferenceEngine
from sessions_platform_tests.engines.spark_in_process import SparkInProcess
from sessions_platform_tests.engines.test_engines import DAYS, RULES, fill, stored
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, load, put, refresh, stale
from sessions_platform_tests.spark import samples
from sessions_platform_tests.streams import DAY_ONE, PLAIN, stream


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "open_session", lambda _: SparkInProcess())


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_rows_are_those_of_polars(open_context: Callable[..., StreamContext], rule: dict[str, Any]) -> None:
    context = open_context(columns=PLAIN["columns"], session={**rule, "columns": {"pages": {"count": "page_url"}}})
    fill(context)
    refresh(context)
    by_polars = stored(context)
    other = replace(context, engine="spark", memory=MemoryBudget(4000, 4000))
    sessionize_partitions(other, DAYS, RUN)
    assert load(other, *DAYS).changed.changed == 0
    assert stored(other) == by_polars
    assert stale(other) == []
    listed = context.lake.filesystem.list(context.stream.name)
    assert not [path for path in listed if "/spark-" in path]


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_sessions_of_people_are_those_of_polars_and_an_erasure_finds_whose_ids_a_killed_run_has_left(
    open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Executors read whose an id is from a file of the run, also for chains that they follow through the lake."""
    context = open_context(columns=samples.COLUMNS, identity=samples.IDENTITY, session={"by": "person"})
    samples.fill(context, 1000)
    expected = samples.by_polars(context)
    assert any(event["user_id"] != event["own_user_id"] for event in expected["events"])
    other = replace(context, engine="spark", memory=MemoryBudget(4000, 4000))
    with monkeypatch.context() as killed:
        killed.setattr(LocalFilesystem, "delete_folder", lambda *_: None)
        sessionize_partitions(other, samples.DAYS, RUN)
    assert load(other, *samples.DAYS).changed.changed == 0
    assert stored(other) == expected
    (left,) = [path for path in context.lake.filesystem.list(context.stream.name) if "/spark-" in path]
    assert context.lake.columns(left).keys() == {"user_id", "own_user_id"}
    remove_superseded_files(context, UserPattern(["🙂"], context.stream))
    assert not context.lake.exists(left)


@pytest.mark.usefixtures("in_process")
def test_links_are_read_once_for_all_stretches_of_partitions(
    open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: dict[str, Any] = {"columns": samples.COLUMNS, "identity": samples.IDENTITY, "session": {"by": "person"}}
    context = open_context(engine="spark", **keys)
    for day in (DAYS[0], DAYS[2]):
        at = context.stream.session_calendar.window_of([day]).start
        put(context, f"{day}.ndjson", [line("phone", at, f"e{day}", account="ann")], day)
    ingest_and_publish(context, DAYS[0], DAYS[2])
    read: list[list[str]] = []
    pairs_in = accepted_events.pairs_in

    def counted(lake: Lake, of: Stream, paths: list[str]) -> pl.DataFrame:
        read.append(paths)
        return pairs_in(lake, of, paths)

    monkeypatch.setattr(accepted_events, "pairs_in", counted)
    sessionize_partitions(context, [DAYS[0], DAYS[2]], RUN)
    assert [len(paths) for paths in read] == [2]


def test_an_engine_that_knows_no_persons_is_refused(
    open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "reference", ReferenceEngine)
    keys: dict[str, Any] = {"columns": samples.COLUMNS, "identity": samples.IDENTITY}
    context = open_context(session={"by": "person"}, **keys)
    with pytest.raises(UserError, match=r"reference can't cut sessions by person\. Fix: write engine: polars or spark"):
        open_engine("reference", context)


def test_users_are_dealt_alike_on_every_machine_and_in_every_version() -> None:
    users = pl.DataFrame({"user_id": ["ann", "", "Ünal", "🙂"]})
    assert users.select(spark_tasks.bucket_of("user_id", 1000)).to_series().to_list() == [888, 138, 659, 863]


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_file_that_only_an_executor_can_not_use_means_that_the_lake_is_not_shared(
    context: StreamContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(context, "1.ndjson", [line("ann", DAY_ONE, "a")], DAYS[0])
    ingest_and_publish(context, DAYS[0])
    snapshot = context.ledger.snapshot()
    other = replace(context, engine="spark")
    taken = spark_tasks.Job.deal
    elsewhere = LocalFilesystem(tmp_path)
    monkeypatch.setattr(spark_tasks.Job, "deal", lambda job, rows: taken(replace(job, filesystem=elsewhere), rows))
    with pytest.raises(UserError, match=r"do not see the same lake: .*\.parquet is in only one of the two\. Fix: keep"):
        sessionize_again(other, DAYS[0], snapshot, RUN)


def of_another_polars(job: Job) -> Job:
    return replace(job, versions={**job.versions, "polars": "0.1"})


def another_user(job: Job) -> Job:
    return replace(job, filesystem=OfAnotherUser(Path(job.filesystem.url(""))))


class OfAnotherUser(LocalFilesystem):
    """A folder that this process's user may not look into."""

    def state(self, path: str) -> State:
        raise PermissionError(errno.EACCES, "Permission denied", self.url(path))

    def draft(self, folder: str) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", self.url(folder))


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("step", ["deal", "compute"])
@pytest.mark.parametrize(
    ("elsewhere", "sentence"),
    [
        (of_another_polars, rf"an executor has polars {pl.__version__}, and this run has polars 0\.1\. Fix: install"),
        (another_user, r"the uid \d+ may not use it, .* Fix: let the executors and this run be one OS user"),
    ],
)
def test_what_executors_lack_is_a_sentence_and_nothing_is_left(
    context: StreamContext,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    elsewhere: Callable[[Job], Job],
    sentence: str,
) -> None:
    put(context, "1.ndjson", [line("ann", DAY_ONE, "a")], DAYS[0])
    ingest_and_publish(context, DAYS[0])
    taken = getattr(Job, step)
    monkeypatch.setattr(Job, step, lambda job, rows: taken(elsewhere(job), rows))
    with pytest.raises(UserError, match=sentence):
        sessionize_again(replace(context, engine="spark"), DAYS[0], context.ledger.snapshot(), RUN)
    assert not [path for path in context.lake.filesystem.list(context.stream.name) if "/spark-" in path]


@pytest.mark.slow
@pytest.mark.usefixtures("in_process")
def test_a_task_that_ends_after_its_run_leaves_no_file(context: StreamContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the slower of two tasks where Spark speculates."""
    put(context, "1.ndjson", [line("ann", DAY_ONE, "a")], DAYS[0])
    ingest_and_publish(context, DAYS[0])
    tasks: list[tuple[Job, pa.Table]] = []
    taken = Job.compute
    monkeypatch.setattr(Job, "compute", lambda job, group: [tasks.append((job, group)), taken(job, group)][1])
    sessionize_again(replace(context, engine="spark"), DAYS[0], context.ledger.snapshot(), RUN)
    left = list(context.lake.filesystem.list(""))
    ((job, group),) = tasks
    (late,) = taken(job, group).to_pylist()
    assert (late["path"], job.marker in late["error"]) == (None, True)
    assert list(context.lake.filesystem.list("")) == left


def test_drafts_of_an_object_store_are_in_the_local_folder_of_spark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path},/elsewhere")
    lake = pickle.loads(pickle.dumps(ObjectFilesystem(Objects("s3", "bucket", "lake"), tmp_path / "scratch")))
    with spark_tasks.opened(lake) as opened, opened.filesystem.draft("folder") as draft:
        assert draft.relative_to(tmp_path).parts[0].startswith("sessions-spark-")
    assert not list(tmp_path.iterdir())


def test_a_lake_in_an_object_store_is_opened_anew_by_executors(tmp_path: Path) -> None:
    lake = ObjectFilesystem(Objects("s3", "bucket", "lake"), tmp_path)
    assert pickle.loads(pickle.dumps(lake)).url("a/b.parquet") == lake.url("a/b.parquet")


def test_an_engine_is_named_by_the_stream_or_else_by_the_settings(settings: Settings) -> None:
    assert tuple(ENGINES) == NAMES
    by_default = replace(settings, engine="spark")
    assert StreamContext.open(stream(), by_default, MemorySource()).engine == "spark"
    assert StreamContext.open(stream(engine="polars"), by_default, MemorySource()).engine == "polars"


@pytest.mark.skipif(importlib.util.find_spec("pyspark") is not None, reason="pyspark is installed")
def test_without_its_extra_the_engine_says_what_to_install() -> None:
    with pytest.raises(
        MissingExtraError, match=r"pyspark is not installed\. Fix: pip install 'sessions-platform\[spark\]'"
    ):
        open_session("local[2]")
