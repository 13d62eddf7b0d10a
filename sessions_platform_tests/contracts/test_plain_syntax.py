"""What is certain without polars is what polars says."""

from itertools import product

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts import plain_syntax, polars_syntax
from sessions_platform.contracts.plain_syntax import is_plain_format, is_plain_pattern

TIMES = product(plain_syntax.SEPARATORS, plain_syntax.TIMES, plain_syntax.FRACTIONS, plain_syntax.OFFSETS)
FORMATS = ["%+", *map("".join, product(plain_syntax.DATES, ["", *map("".join, TIMES)]))]


@pytest.fixture
def _asks_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polars_syntax, "is_plain_format", lambda _: False)


@pytest.mark.usefixtures("_asks_polars")
def test_polars_reads_by_each_plain_format() -> None:
    assert all(map(is_plain_format, FORMATS))
    assert {fmt: problem for fmt in FORMATS if (problem := polars_syntax.format_problem(fmt))} == {}


@pytest.mark.parametrize(
    "fmt", ["", "%Y", "%Y-%m", "%d-%m-%Y", "%Y-%m-%d %H", "%Y-%m-%d %H:%M:%S%f", "%Y-%m-%d%z", "%+Z"]
)
def test_of_other_formats_polars_is_asked(fmt: str) -> None:
    assert not is_plain_format(fmt)


@given(st.from_regex(plain_syntax.PATTERN, fullmatch=True))
@example(r"^https://shop\.example/")
@example("^[a-zA-Z0-9]+$")
@example("[^ ]*" * 20)
@example(r"\d+" * 33)
@settings(max_examples=300)
def test_polars_compiles_each_plain_pattern_and_finds_no_group(pattern: str) -> None:
    if is_plain_pattern(pattern):
        groups = pl.Series([""]).str.extract_groups(pattern)
        assert groups.dtype != pl.Struct or len(groups.struct.fields) == 0


@pytest.mark.parametrize(
    "pattern", ["(a)", "a|b", "a{2}", r"\w", r"\<", "[a-", "[[:alpha:]]", "[a&&b]", "*", "a**", "[b-a]", "é", "a" * 101]
)
def test_of_other_patterns_polars_is_asked(pattern: str) -> None:
    assert not is_plain_pattern(pattern)
