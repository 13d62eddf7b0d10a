"""On Spark itself, with two executors: the same rows, also when one of them is killed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sessions_platform.engines import spark
from sessions_platform.pipeline.context import StreamContext
from sessions_platform_tests.spark.planted import KilledOnce, planted
from sessions_platform_tests.spark.samples import AGGREGATES, COLUMNS, IDENTITY, RULES, by_polars, fill, require_same

pytestmark = pytest.mark.spark


@pytest.mark.parametrize("rule", RULES)
def test_a_killed_executor_loses_and_doubles_nothing(
    open_context: Callable[..., StreamContext],
    cluster: str,
    rule: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has written its files, and was killed before it told: they don't count, and its tasks run again."""
    monkeypatch.setattr(spark, "Job", planted(KilledOnce, tmp_path))
    context = open_context(columns=COLUMNS, identity=IDENTITY, session={**RULES[rule], "columns": AGGREGATES})
    fill(context)
    expected = by_polars(context)
    require_same(context, cluster, expected)
    assert (tmp_path / "first").exists()
