"""A table as a source of dbt: columns with what they mean, their types, and the tests that hold of them.

Not here: which tables there are (`tables.py`, `duckdb.py`), and how they are written (`sources.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sessions_platform.contracts.schemas.schema import ColumnSchema, ValueCheck

Test = str | Mapping[str, Any]


@dataclass(frozen=True)
class SourceColumn:
    """A column.

    Attributes:
        data_type: as the database's catalog spells it.
        description: one sentence or more; may have what dbt would take for a template.
        tests: dbt's names of generic tests, those with arguments as a mapping from the name.
    """

    data_type: str
    description: str
    tests: Sequence[Test] = ()


@dataclass(frozen=True)
class SourceTable:
    """A table or view.

    Attributes:
        asset: the last part of the key of the Dagster asset that makes its rows.
        config: dbt's own settings of it, besides the key of the asset.
    """

    name: str
    description: str
    asset: str
    columns: Mapping[str, SourceColumn]
    config: Mapping[str, Any] = field(default_factory=dict)


def data_tests(column: ColumnSchema, values: ColumnSchema | None) -> list[Test]:
    """The tests of a column of the contract.

    Args:
        column: says whether it may be null, and is unique.
        values: the column whose values it has, where that is another one, as of an aggregate.
    """
    named = {"not_null": not column.nullable, "unique": column.unique}
    found: list[Test] = [name for name, holds in named.items() if holds]
    return [*found, *map(accepted_values, allowed_values([*column.checks, *(values.checks if values else ())]))]


def allowed_values(checks: Sequence[ValueCheck]) -> list[list[Any]]:
    """The lists of values that a column has to be one of."""
    return [list(check.builtin[1]) for check in checks if check.builtin and check.builtin[0] == "isin"]


def accepted_values(values: Sequence[Any]) -> Test:
    """The test of this name. It puts texts into SQL as they are, so that their quotes have to be doubled here."""
    if all(isinstance(value, str) for value in values):
        return {"accepted_values": {"arguments": {"values": [value.replace("'", "''") for value in values]}}}
    return {"accepted_values": {"arguments": {"values": list(values), "quote": False}}}


def relationships(source: str, table: str, column: str) -> Test:
    """The test that each value that is not null is one of another table's column."""
    return {"relationships": {"arguments": {"to": f"source('{source}', '{table}')", "field": column}}}


def newest_event(column: str, fresh_within: Mapping[str, Any] | None) -> dict[str, Any]:
    """How old a table may be: the age of its newest event, which is the greatest value of a column.

    Without a limit nothing is checked until the project states one.
    """
    return {"loaded_at_field": column, **({"freshness": {"warn_after": dict(fresh_within)}} if fresh_within else {})}
