"""The real IO manager stores frames as Parquet, one partition or many, and pickles nothing."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster_polars import PolarsParquetIOManager
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_platform.orchestration.assets import LAKE
from sessions_platform.orchestration.build import build
from sessions_platform.orchestration.io_managers import LakeIOManager
from sessions_platform.orchestration.resources import Platform
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform_tests.orchestration.conftest import Home

DAYS = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-01-05")
THREE_DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]
NUMBERS = pl.DataFrame({"number": [1, 2, 3]})
SINGLE_RUN = dg.BackfillPolicy.single_run()
Assets = Sequence[dg.AssetsDefinition]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a lake"


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Iterator[Callable[..., dg.ExecuteInProcessResult]]:
    """Materializes assets that name the IO manager of the platform; a range where two days are named."""
    platform = Platform()
    resources = {"platform": platform, LAKE: LakeIOManager(platform=platform, base_dir=str(folder))}
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "instance")) as instance:

        def materialize(assets: Assets, first: str | None = None, last: str | None = None, **options: Any):
            if last is None:
                return dg.materialize(assets, partition_key=first, resources=resources, instance=instance, **options)
            tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
            job = dg.Definitions(
                assets, resources=resources, jobs=[dg.define_asset_job("all", selection="*")]
            ).resolve_job_def("all")
            return job.execute_in_process(instance=instance, tags=tags, **options)

        yield materialize
    assert [path for path in tmp_path.rglob("*") if path.is_file() and is_pickled(path)] == []


def is_pickled(path: Path) -> bool:
    return path.suffix not in {".parquet", ".db"} and path.read_bytes()[:1] == b"\x80"


def stored(folder: Path) -> dict[str, pl.DataFrame]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): pl.read_parquet(path) for path in paths}


# One at a time -------------------------------------------------------------------------------------------


@dg.asset(io_manager_key=LAKE)
def eager() -> pl.DataFrame:
    return NUMBERS


@dg.asset(io_manager_key=LAKE)
def lazy() -> pl.LazyFrame:
    return NUMBERS.lazy().filter(pl.col("number") > 1)


@dg.asset(io_manager_key=LAKE)
def of_frames(eager: pl.DataFrame, lazy: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([eager, lazy])


@dg.asset(io_manager_key=LAKE)
def of_lazy_frames(eager: pl.LazyFrame, lazy: pl.LazyFrame) -> pl.LazyFrame:
    return pl.concat([eager, lazy])


def test_frames_and_lazy_frames_are_stored_as_parquet(
    run: Callable[..., dg.ExecuteInProcessResult], folder: Path
) -> None:
    result = run([eager, lazy, of_frames, of_lazy_frames])
    assert {name: frame["number"].to_list() for name, frame in stored(folder).items()} == {
        "eager.parquet": [1, 2, 3],
        "lazy.parquet": [2, 3],
        "of_frames.parquet": [1, 2, 3, 2, 3],
        "of_lazy_frames.parquet": [1, 2, 3, 2, 3],
    }
    assert isinstance(result.output_for_node("of_frames"), pl.DataFrame)


def test_materializing_again_replaces_the_file(run: Callable[..., dg.ExecuteInProcessResult], folder: Path) -> None:
    run([eager])
    run([eager])
    assert list(stored(folder)) == ["eager.parquet"]


values = {
    pl.String(): st.text(max_size=5),
    pl.Int64(): st.integers(-(2**63), 2**63 - 1),
    pl.Float64(): st.floats(allow_nan=False),
    pl.Boolean(): st.booleans(),
    pl.Datetime("us", "UTC"): st.integers(-(10**15), 10**15),
    pl.Binary(): st.binary(max_size=5),
    pl.List(pl.Struct({"code": pl.String})): st.lists(st.fixed_dictionaries({"code": st.none() | st.text(max_size=3)})),
}
frames = st.lists(
    st.fixed_dictionaries({f"column_{n}": st.none() | value for n, value in enumerate(values.values())}), max_size=12
).map(lambda rows: pl.DataFrame(rows, schema={f"column_{n}": dtype for n, dtype in enumerate(values)}))


@pytest.mark.slow
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])  # each is a run of Dagster
@given(frames, st.booleans())
def test_any_frame_is_read_back_as_it_was_written(
    run: Callable[..., dg.ExecuteInProcessResult], frame: pl.DataFrame, lazily: bool
) -> None:
    seen: list[pl.DataFrame] = []

    @dg.asset(io_manager_key=LAKE)
    def sent() -> pl.DataFrame:
        return frame

    @dg.asset(io_manager_key=LAKE)
    def sent_lazily() -> pl.LazyFrame:
        return frame.lazy()

    @dg.asset(io_manager_key=LAKE, ins={"it": dg.AssetIn("sent_lazily" if lazily else "sent")})
    def received(it: pl.DataFrame) -> pl.DataFrame:
        seen.append(it)
        return it

    run([sent_lazily if lazily else sent, received])
    assert seen[0].schema == frame.schema
    assert seen[0].equals(frame)


# By partition --------------------------------------------------------------------------------------------


def partitioned(**options: Any) -> Any:
    return dg.asset(io_manager_key=LAKE, partitions_def=DAYS, backfill_policy=SINGLE_RUN, **options)


@partitioned()
def by_day(context: dg.AssetExecutionContext) -> pl.DataFrame:
    return pl.DataFrame({"day": [context.partition_key]})


@partitioned()
def after_by_day(by_day: pl.DataFrame) -> pl.LazyFrame:
    return by_day.lazy().with_columns(after=True)


def test_a_partition_has_a_file_of_its_own(run: Callable[..., dg.ExecuteInProcessResult], folder: Path) -> None:
    for day in THREE_DAYS[:2]:
        run([by_day, after_by_day], day)
    assert {name: frame.rows() for name, frame in stored(folder).items()} == {
        "after_by_day/2026-01-01.parquet": [("2026-01-01", True)],
        "after_by_day/2026-01-02.parquet": [("2026-01-02", True)],
        "by_day/2026-01-01.parquet": [("2026-01-01",)],
        "by_day/2026-01-02.parquet": [("2026-01-02",)],
    }


@partitioned()
def in_range(context: dg.AssetExecutionContext) -> Mapping[str, pl.DataFrame]:
    return {day: pl.DataFrame({"day": [day] * int(day[-2:])}) for day in context.partition_keys}


@partitioned()
def in_lazy_range(context: dg.AssetExecutionContext) -> Mapping[str, pl.LazyFrame]:
    return {day: pl.LazyFrame({"day": [day]}) for day in context.partition_keys}


@partitioned()
def after_range(in_range: dict[str, pl.DataFrame]) -> Mapping[str, pl.DataFrame]:
    return {day: frame.head(1) for day, frame in in_range.items()}


def test_a_range_run_writes_each_partition(run: Callable[..., dg.ExecuteInProcessResult], folder: Path) -> None:
    assert run([in_range, in_lazy_range], THREE_DAYS[0], THREE_DAYS[-1]).success
    heights = {name: frame.height for name, frame in stored(folder).items()}
    assert heights == {f"in_range/{day}.parquet": place for place, day in enumerate(THREE_DAYS, start=1)} | {
        f"in_lazy_range/{day}.parquet": 1 for day in THREE_DAYS
    }


def test_a_range_run_reads_each_partition(run: Callable[..., dg.ExecuteInProcessResult], folder: Path) -> None:
    assert run([in_range, after_range], THREE_DAYS[0], THREE_DAYS[-1]).success
    assert [frame.height for name, frame in stored(folder).items() if name.startswith("after")] == [1, 1, 1]


def test_a_single_partition_may_be_returned_as_a_mapping_too(
    run: Callable[..., dg.ExecuteInProcessResult], folder: Path
) -> None:
    run([in_range], THREE_DAYS[1])
    assert list(stored(folder)) == ["in_range/2026-01-02.parquet"]


@pytest.mark.parametrize("named", [[], [*THREE_DAYS[:2], "2026-01-04"], ["../other"]])
def test_a_mapping_has_exactly_the_partitions_of_the_run(
    run: Callable[..., dg.ExecuteInProcessResult], folder: Path, named: list[str]
) -> None:
    @partitioned()
    def in_other_range() -> Mapping[str, pl.DataFrame]:
        return dict.fromkeys(named, NUMBERS)

    with pytest.raises(ValueError, match="partition"):
        run([in_other_range], THREE_DAYS[0])
    assert stored(folder) == {}


# Whole or not at all -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [eager, lazy], ids=["eager", "lazy"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    run: Callable[..., dg.ExecuteInProcessResult],
    folder: Path,
    kind: dg.AssetsDefinition,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run([kind])
    before = stored(folder)

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        run([kind])
    assert stored(folder).keys() == before.keys()


def test_a_lazy_frame_that_cannot_be_computed_becomes_no_file(
    run: Callable[..., dg.ExecuteInProcessResult], folder: Path
) -> None:
    @dg.asset(io_manager_key=LAKE)
    def broken() -> pl.LazyFrame:
        return pl.LazyFrame({"a": ["x"]}).select(pl.col("a").cast(pl.Int64))

    with pytest.raises(pl.exceptions.InvalidOperationError):
        run([broken])
    assert list(folder.rglob("*.parquet")) == []


# What the platform itself has stored ---------------------------------------------------------------------


def test_a_users_asset_may_request_a_dataset_a_lazy_frame_or_a_frame(home: Home) -> None:
    home.ingest(1, "a", ("ann", 0, "a"), ("bob", 0, "b"))
    with dg.DagsterInstance.ephemeral() as instance:
        assert home.execute("materialize_all", "2026-01-01", "2026-01-05", instance).success
        result = own_assets(home).execute_in_process(instance=instance, partition_key="2026-01-01")
        assert result.success
        assert result.output_for_node("from_frame")["users"].to_list() == [2]
        assert result.output_for_node("from_lazy_frame").collect()["users"].to_list() == [2]
        assert result.output_for_node("from_dataset")["rows"].to_list() == [2]
    names = [path.relative_to(home.settings.lake).as_posix() for path in home.settings.lake.rglob("from_*/*")]
    assert sorted(names) == [f"from_{kind}/2026-01-01.parquet" for kind in ("dataset", "frame", "lazy_frame")]


def own_assets(home: Home) -> dg.JobDefinition:
    platform = build(home.settings)
    days = platform.resolve_assets_def(dg.AssetKey([home.name, "events"])).partitions_def
    events = {"events": dg.AssetIn([home.name, "events"])}

    @dg.asset(ins=events, partitions_def=days, io_manager_key=LAKE)
    def from_frame(events: pl.DataFrame) -> pl.DataFrame:
        return events.select(users=pl.col("user_id").n_unique())

    @dg.asset(ins=events, partitions_def=days, io_manager_key=LAKE)
    def from_lazy_frame(events: pl.LazyFrame) -> pl.LazyFrame:
        return events.select(users=pl.col("user_id").n_unique())

    @dg.asset(ins={"cut": dg.AssetIn([home.name, "sessionized_events"])}, partitions_def=days, io_manager_key=LAKE)
    def from_dataset(cut: Dataset) -> pl.DataFrame:
        return pl.DataFrame({"rows": [sum(block.height for block in cut.blocks())]})

    mine = [from_frame, from_lazy_frame, from_dataset]
    jobs = [dg.define_asset_job("mine", selection=mine)]
    return dg.Definitions.merge(platform, dg.Definitions(mine, jobs=jobs)).resolve_job_def("mine")


def test_a_users_asset_may_be_called_events(run: Callable[..., dg.ExecuteInProcessResult], folder: Path) -> None:
    @dg.asset(io_manager_key=LAKE, key=["mine", "events"])
    def events() -> pl.DataFrame:
        return NUMBERS

    @dg.asset(io_manager_key=LAKE, ins={"events": dg.AssetIn(["mine", "events"])})
    def after(events: pl.DataFrame) -> pl.DataFrame:
        return events

    run([events, after])
    assert stored(folder)["after.parquet"].equals(NUMBERS)


# A workaround -------------------------------------------------------------------------------------------


def test_the_stock_io_manager_still_cannot_read_with_this_polars(tmp_path: Path) -> None:
    """Once this fails, our `scan_df_from_path` is not needed any more: remove it, and this test."""

    @dg.asset
    def sent() -> pl.DataFrame:
        return NUMBERS

    @dg.asset
    def received(sent: pl.DataFrame) -> None:
        del sent

    resources = {"io_manager": PolarsParquetIOManager(base_dir=str(tmp_path))}
    with pytest.raises(Exception, match=r"rechunk|retries"):
        dg.materialize([sent, received], resources=resources)
