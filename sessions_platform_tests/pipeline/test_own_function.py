"""`python`: columns that a function of the user's own computes."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.own_function import OwnFunction
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.transforms.enrich import distinct
from sessions_platform.transforms.enrich.registry import open_enrichment
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import put, run_pending, table, validated
from sessions_platform_tests.streams import DAY_ONE, PLAIN

MODULE = "sessions_platform_tests.pipeline.own_functions"
SHELF: dict[str, Any] = {
    "function": f"{MODULE}:shelf",
    "from": "page_url",
    "columns": {"letter": "string", "length": "integer"},
    "version": 1,
}


def loaded(folder: Path, **keys: Any) -> Stream:
    path = folder / "web.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, "enrich": {"python": {**SHELF, **keys}}}))
    return load_stream(path, folder)


def values(*pages: str | None, **keys: Any) -> list[tuple[Any, ...]]:
    config = OwnFunction.model_validate({**SHELF, **keys})
    events = pl.DataFrame({"page_url": pages}, {"page_url": pl.String})
    return open_enrichment(config).enrich(events).drop("page_url").rows()


def test_a_function_of_ones_own_adds_the_columns_that_are_declared() -> None:
    assert values("abc", None, "abc", "de") == [("a", 3), (None, 0), ("a", 3), ("d", 2)]


PAGES = st.lists(st.lists(st.sampled_from(["a", "bc", "!d", "!e", None]), max_size=9), min_size=1, max_size=4)


@given(runs=PAGES, remembered=st.integers(0, 2))
def test_an_input_that_the_function_cannot_do_takes_no_value_from_others(
    runs: list[list[str | None]], remembered: int
) -> None:
    enrichment = open_enrichment(OwnFunction.model_validate(SHELF))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "REMEMBERED", remembered)
        for run in runs:
            found = enrichment.enrich(pl.DataFrame({"page_url": run}, {"page_url": pl.String}))
            assert found.rows() == [(page, *_of_oracle(page)) for page in run]


def _of_oracle(page: str | None) -> tuple[str | None, int | None]:
    if page is None:
        return (None, 0)
    return (None, None) if page.startswith("!") else (page[0], len(page))


def test_what_a_function_cannot_do_is_counted_and_told_and_no_event_is_lost(
    tmp_path: Path, open_context: Callable[..., StreamContext]
) -> None:
    session = {"columns": {"letters": {"count_distinct": "letter"}}}
    context = open_context(enrich=loaded(tmp_path).enrich, session=session)
    pages = ["a", "!x", "b", "!x", "!y"]
    put(context, "1", [line("ann", DAY_ONE, str(n), url=url) for n, url in enumerate(pages)], "2026-01-01")
    run_pending(context)
    (row,) = table(context)
    assert (row["event_count"], row["letters"], table(context, "rejected_events")) == (5, 2, [])
    partition = validated(context, "2026-01-01")
    assert {record["column"]: record["filled"] for record in partition.enriched} == {"letter": 2, "length": 2}
    assert partition.warnings == (
        f"enrich.python: {MODULE}:shelf could not compute 3 events: KeyError for page_url String. Their columns are "
        "null. Fix: correct the function and raise its version.",
    )


@pytest.mark.slow
def test_with_on_error_fail_the_run_fails_with_a_sentence_and_publishes_nothing(
    tmp_path: Path, open_context: Callable[..., StreamContext]
) -> None:
    context = open_context(enrich=loaded(tmp_path, on_error="fail").enrich)
    put(context, "1", [line("ann", DAY_ONE, "1", url="!x")], "2026-01-01")
    problem = rf"^{context.stream.path}: enrich.python: .*:shelf raised KeyError for page_url String. Fix: correct"
    with pytest.raises(UserError, match=problem) as error:
        run_pending(context)
    assert "!x" not in "".join(traceback.format_exception(error.value))
    assert table(context) == []


@pytest.mark.parametrize("page", ["!x"])
def test_a_sentence_about_an_input_has_no_value_of_it(page: str) -> None:
    with pytest.raises(UserError, match=r"shelf raised KeyError for page_url String\. Fix") as error:
        values(page, on_error="fail")
    assert page not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize("amounts", [(0.0, -0.0, None), (-0.0, 0.0, None)])
@pytest.mark.parametrize("at_once", [True, False])
def test_zeros_of_either_sign_are_one_input_in_any_order(amounts: tuple[float | None, ...], at_once: bool) -> None:
    keys = {"function": f"{MODULE}:sign", "from": "amount", "columns": {"sign": "string"}, "version": 1}
    enrichment = open_enrichment(OwnFunction.model_validate(keys))
    runs = [pl.DataFrame({"amount": run}) for run in ([amounts] if at_once else [amounts[:1], amounts[1:]])]
    assert pl.concat([enrichment.enrich(run) for run in runs])["sign"].to_list() == ["+0.0", "+0.0", None]


def test_numbers_that_are_not_finite_are_null() -> None:
    found = values("a", "b", "c", function=f"{MODULE}:numbers", columns={"score": "float"})
    assert sorted(found, key=str) == [(1.5,), (None,), (None,)]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"function": f"{MODULE}:short"}, "short returned 2 rows for 1 inputs. Fix: correct the function and raise"),
        ({"function": f"{MODULE}:rows"}, "rows returned list, and no polars.DataFrame"),
        ({"columns": {"size": "integer"}}, "shelf returned no column 'size'. Fix:"),
        ({"columns": {"length": "string"}}, "shelf returned 'length' as Int64, and not String. Fix:"),
        ({"function": f"{MODULE}:none"}, "none can't be imported: AttributeError"),
        ({"function": f"{MODULE}:NO_FUNCTION"}, "NO_FUNCTION is no function. Fix: name one."),
    ],
)
def test_a_function_of_another_shape_is_a_sentence(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as error:
        values("abc", **keys)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"function": "brand"}, "'brand' names no function. Fix: write module:function"),
        ({"function": "no_such_module:brand"}, "there is no module no_such_module. Fix: install it, or add its folder"),
        ({"function": "no_such_package.module:brand"}, "no_such_package.module can't be imported"),
        ({"from": ["page", "user_id"]}, "there is no column 'page' to read from"),
        ({"from": ["page_url", "user_id", "page_url"]}, "it names 'page_url' twice. Fix: name each column once"),
        ({"columns": {"page_url": "string"}}, "python adds the column page_url, which there is already"),
        ({"columns": {"letter": "text"}}, "enrich.python.columns.letter"),
        ({"version": None}, "enrich.python.version"),
        ({"on_error": "reject"}, "'reject' is not allowed. Fix: write 'leave_null' or 'fail'"),
    ],
)
def test_wrong_keys_are_a_sentence_when_the_stream_is_read(tmp_path: Path, keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(StreamError) as error:
        loaded(tmp_path, **keys)
    assert problem in str(error.value)


def test_the_version_that_the_user_states_is_part_of_the_contract(tmp_path: Path) -> None:
    first, same, second = (loaded(tmp_path, version=version).contract_version for version in (1, 1, 2))
    assert first == same != second
