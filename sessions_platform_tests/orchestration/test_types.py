"""The contracts as the UI shows them are those that dagster-pandera makes of the same pandera schemas."""

from collections.abc import Callable

import dagster as dg
import pytest

from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.schemas.schema import Schema
from sessions_platform.contracts.schemas.sessions import sessionized_schema, sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.orchestration.checks import check_results
from sessions_platform.orchestration.types import broken_contract, column_schema
from sessions_platform.pipeline.quality import CheckResult
from sessions_platform_tests.streams import stream

SCHEMAS = [events_schema, rejected_schema, sessionized_schema, sessions_schema]


@pytest.mark.parametrize("schema_of", SCHEMAS, ids=lambda schema_of: schema_of.__name__)
def test_columns_types_and_nulls_are_those_of_dagster_pandera(schema_of: Callable[[Stream], Schema]) -> None:
    schema = schema_of(stream())
    ours, theirs = column_schema(schema), broken_contract(schema).schema
    shown = [(column.name, column.constraints.nullable, column.constraints.unique) for column in ours.columns]
    assert shown == [(column.name, column.constraints.nullable, column.constraints.unique) for column in theirs.columns]
    assert all(
        len(mine.constraints.other) == len(other.constraints.other)
        for mine, other in zip(ours.columns, theirs.columns, strict=True)
    )


def test_a_check_that_fails_shows_the_contract_and_one_that_passes_does_not() -> None:
    failed, passed = (
        next(check_results(stream(), [CheckResult("sessions", "keeps_contract", passed, {"rows": 1})]))
        for passed in (False, True)
    )
    contract = failed.metadata["contract"]
    assert isinstance(contract, dg.TableSchemaMetadataValue)
    assert {column.name for column in contract.schema.columns} == set(sessions_schema(stream()).columns)
    assert "contract" not in passed.metadata
