"""What is peculiar to a folder of Parquet files as a target: who may read them."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import deliver
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.storage.targets import RUN, load_with, the_target

__all__ = ["context", "open_context"]


@pytest.mark.slow
def test_its_files_are_made_for_whom_the_umask_says(tmp_path: Path, open_context: Callable[..., StreamContext]) -> None:
    loaded = load_with(open_context, "parquet", tmp_path / "out")
    deliver(loaded, the_target(loaded), RUN)
    (tmp_path / "new").touch()
    files = [tmp_path / "out/manifest.json", *(tmp_path / "out").glob("*/*/*.parquet")]
    modes = {stat.S_IMODE(file.stat().st_mode) for file in files}
    assert modes == {stat.S_IMODE((tmp_path / "new").stat().st_mode)}
