"""A delivery that is killed (-9) at any point and made again ends in the same state, and no reader sees half of one."""

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.storage.kills import assert_the_same_after_kills
from sessions_platform_tests.storage.targets import BOTH_TABLES, in_target, load_two_days, the_target

__all__ = ["context", "open_context"]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("kind", "path"), [("duckdb", "out.duckdb"), ("parquet", "out"), ("delta", "out")])
def test_a_delivery_that_is_killed_at_any_point_and_made_again_ends_in_the_same_state(
    kind: str, path: str, open_context: Callable[..., StreamContext], tmp_path: Path
) -> None:
    loaded = load_two_days(open_context(targets={kind: {"path": str(tmp_path / path), "tables": BOTH_TABLES}}))
    assert_the_same_after_kills(loaded, lambda context: seen(context, kind, tmp_path / path))


def seen(context: StreamContext, kind: str, path: Path) -> pl.DataFrame:
    """The sessions that a reader sees; of a folder of Parquet files, those that the manifest names."""
    target = the_target(context)
    if kind != "parquet":
        return in_target(target)
    manifest = path / "manifest.json"
    files = json.loads(manifest.read_text())["tables"]["sessions"]["partitions"].values() if manifest.exists() else []
    frames = [
        pl.read_parquet(path / file["path"], hive_partitioning=True, try_parse_hive_dates=False) for file in files
    ]
    columns = target.tables["sessions"]
    return pl.concat([pl.DataFrame(schema=columns), *(frame.select(*columns) for frame in frames)])
