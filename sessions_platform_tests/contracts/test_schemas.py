"""A schema is asked in polars, or in pandera: both say the same of any frame."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.schemas.events import events_schema, row_schema
from sessions_platform.contracts.schemas.in_pandera import broken_values
from sessions_platform.contracts.schemas.schema import ColumnSchema, Schema, ValueCheck
from sessions_platform_tests.streams import DAY_ONE, PLAIN, stream

LANDING = "2026-01-01"
MICROSECOND = timedelta(microseconds=1)
RULES = stream(
    columns={
        **PLAIN["columns"],
        "event_type": {"from": "type", "isin": ["view", "buy"]},
        "page_url": {"from": "url", "nullable": True, "pattern": "^https:"},
        "amount": {"type": "float", "nullable": True, "ge": 0, "lt": 100},
        "share": {"type": "float", "gt": 0, "le": 1},
        "stars": {"type": "integer", "nullable": True, "isin": [1, 2, 3]},
        "product": {"nullable": True, "references": {"table": "public.products", "column": "id"}},
        "address": {"nullable": True},
    },
    pseudonymize={"address": "truncate_ip"},
)
KNOWN = {"product": pl.Series(["a", "b"])}
LATEST = RULES.latest_moment(LANDING)
NAN, ENDLESS = float("nan"), float("inf")
# Of each column, values that a check takes and values that it does not, those at a bound among them.
VALUES: dict[str, list[Any]] = {
    "event_id": ["1", "2", "3", "4", None],
    "user_id": ["ann", "", None],
    "event_timestamp": [DAY_ONE, DAY_ONE - MICROSECOND, LATEST, LATEST + MICROSECOND, None],
    "event_type": ["view", "buy", "sell", "", None],
    "page_url": ["https:", "http:", "xhttps:", "", None],
    "amount": [0.0, -0.0, -5e-324, 99.5, 100.0, NAN, ENDLESS, -ENDLESS, None],
    "share": [0.5, 1.0, 0.0, 1.5, NAN, None],
    "stars": [1, 3, 0, 4, None],
    "product": ["a", "b", "c", None],
    "address": ["192.0.2.0", "192.0.2.7", "2001:db8::", "nowhere", None],
    "properties": ["{}", None],
    "landing_partition": [LANDING, "2026-01-02", None],
    "source_uri": ["a", None],
    "position": [1, 0, -1, None],
}


def frames(of: dict[str, pl.DataType]) -> st.SearchStrategy[pl.DataFrame]:
    """Rows that mostly keep the contract: the first value of each column is taken more often than the others."""
    values = {name: st.one_of(st.just(VALUES[name][0]), st.sampled_from(VALUES[name])) for name in of}
    rows = st.lists(st.fixed_dictionaries(values), max_size=4)
    return rows.map(lambda rows: pl.DataFrame(rows, schema=of, orient="row"))


ROW_SCHEMA = row_schema(RULES, LANDING, KNOWN)
OF_ROWS = {name: column.dtype for name, column in ROW_SCHEMA.columns.items()}


@given(frames(OF_ROWS))
def test_the_broken_rows_are_those_that_pandera_reports(frame: pl.DataFrame) -> None:
    cases = broken_values(ROW_SCHEMA, frame)
    reported = set() if cases is None else set(cases["index"].to_list())
    assert set(ROW_SCHEMA.broken_rows(frame).arg_true().to_list()) == reported
    assert ROW_SCHEMA.is_kept_by(frame) == (cases is None)


@given(frames(OF_ROWS))
def test_the_broken_values_are_those_that_pandera_reports_in_the_same_order(frame: pl.DataFrame) -> None:
    frame = frame.fill_nan(None)  # typed values are finite
    cases, own = broken_values(ROW_SCHEMA, frame), ROW_SCHEMA.broken_values(frame)
    reported = own.clear() if cases is None else cases.select(*own.columns).cast(pl.Schema(own.schema))
    assert own.rows() == reported.rows()


@pytest.mark.slow
@pytest.mark.parametrize("landing_partition", [LANDING, None])
@given(frame=frames(event_columns(RULES)))
def test_a_contract_is_kept_where_pandera_reports_nothing(frame: pl.DataFrame, landing_partition: str | None) -> None:
    schema = events_schema(RULES, landing_partition, KNOWN)
    assert schema.is_kept_by(frame) == (broken_values(schema, frame) is None)


def test_a_frame_without_rows_keeps_its_contract() -> None:
    nothing = pl.DataFrame(schema=OF_ROWS)
    assert ROW_SCHEMA.is_kept_by(nothing)
    assert ROW_SCHEMA.broken_rows(nothing).is_empty()


def test_a_schema_without_checks_breaks_no_row() -> None:
    free = Schema("any", {"a": ColumnSchema(pl.Int64(), nullable=True)})
    frame = pl.DataFrame({"a": [1, None]})
    assert free.is_kept_by(frame)
    assert free.broken_rows(frame).to_list() == [False, False]


@pytest.mark.parametrize(
    "frame", [pl.DataFrame({"a": ["1"]}), pl.DataFrame({"b": [1]}), pl.DataFrame({"a": [1], "b": [1]})]
)
def test_another_type_and_other_columns_break_a_contract(frame: pl.DataFrame) -> None:
    schema = Schema("any", {"a": ColumnSchema(pl.Int64(), [ValueCheck.compares("ge", 0)])})
    assert not schema.is_kept_by(frame)
    assert broken_values(schema, frame) is not None
