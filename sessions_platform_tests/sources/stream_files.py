"""Stream files whose `source` a test writes, and the one mistake that is found in one."""

from pathlib import Path

import pytest

from sessions_platform.contracts.stream_file import ConfigProblem, StreamError, load_stream


def described(folder: Path, source: str) -> Path:
    """A stream's file with these lines as its source, each indented by two."""
    path = folder / "web.yaml"
    path.write_text(
        f"name: web\nstart: 2026-01-01\nsource:\n{source}"
        "columns:\n  user_id: {}\n  event_timestamp: {formats: [epoch_s]}\n  event_type: {}\n"
    )
    return path


def mistake(folder: Path, source: str) -> ConfigProblem:
    """What is wrong with these lines of a source; just one thing is. No message quotes the password hunter2."""
    with pytest.raises(StreamError) as caught:
        load_stream(described(folder, source), folder)
    (problem,) = caught.value.problems
    assert "hunter2" not in str(problem)
    return problem
