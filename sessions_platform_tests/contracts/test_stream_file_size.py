"""A stream's file that would take minutes, or all of the memory, to read: it is refused with a sentence."""

from pathlib import Path

import pytest

from sessions_platform.contracts.stream_file import MAX_BYTES, MAX_VALUES, load_stream
from sessions_platform_tests.contracts.test_stream_file import GOOD, changed, problems

FIX = "put long lists of values into a file, and name it with `references`"
LISTS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60))


def isin(count: int) -> str:
    return changed("isin: [login", "isin: [" + "".join(f"v{n}, " for n in range(count)) + "login")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(GOOD + LISTS, id="lists of lists by anchors"),
        pytest.param(GOOD + MERGES, id="mappings merged by anchors"),
        pytest.param(isin(MAX_VALUES), id="a long list"),
        pytest.param(GOOD + f"description: &x {'x' * 100_000}\nowners: [{'*x, ' * 500}]\n", id="a long text, often"),
    ],
)
def test_a_file_of_too_many_values_is_refused(tmp_path: Path, content: str) -> None:
    """Not timed: with its anchors written out, the first would have a million million million values."""
    (problem,) = problems(content, tmp_path)
    assert problem.reason.startswith(f"it has more than {MAX_VALUES:,} values")
    assert problem.fix == FIX


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path: Path) -> None:
    (problem,) = problems(GOOD + "#" * MAX_BYTES, tmp_path)
    assert (problem.reason, problem.fix) == (f"it has more than {MAX_BYTES:,} bytes", FIX)


def test_anchors_and_lists_of_a_common_size_are_read(tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(
        isin(300)
        .replace("amount: {type: float", "other: &money {type: float")
        .replace("session:\n", "  amount: *money\nsession:\n", 1)
        .replace("extra_columns: keep\nsequence: null\n  amount", "  amount", 1)
    )
    stream = load_stream(path, home=tmp_path)
    assert len(stream.columns["event_type"].isin or []) == 304
    assert stream.columns["amount"] == stream.columns["other"]
