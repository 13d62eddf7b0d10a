"""Records as tables of metadata."""

import dagster as dg

from sessions_platform.orchestration.metadata import as_table


def test_a_column_has_the_type_of_its_first_value_that_is_not_null() -> None:
    table = as_table("cases", [{"id": None, "rows": 1, "none": None}, {"id": "a", "rows": 2, "none": None}])["cases"]
    assert isinstance(table, dg.TableMetadataValue)
    assert {column.name: column.type for column in table.schema.columns} == {
        "id": "string",
        "rows": "int",
        "none": "string",
    }
    assert [record.data["id"] for record in table.records] == [None, "a"]


def test_no_records_make_no_table() -> None:
    assert as_table("cases", []) == {}
