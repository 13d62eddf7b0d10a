"""The contracts as Dagster types and column schemas, so that the UI shows columns and rules.

dagster-pandera shows a contract that rows have broken. The types of assets are made here in the same form, because it
makes them for pandas frames, and brings pandas into each process that loads the definitions. Not here: whether stored
rows keep a contract (`pipeline/quality.py`).
"""

import dagster as dg

from sessions_platform.contracts.schemas.schema import Schema
from sessions_platform.storage.lake.lake import Dataset


def dataset_type(schema: Schema) -> dg.DagsterType:
    """The type of an asset whose rows keep the schema: a `Dataset` with its columns, in order.

    The rows themselves are checked by `keeps_contract`.
    """
    names = list(schema.columns)

    def has_columns(_context: dg.TypeCheckContext, value: object) -> dg.TypeCheck:
        is_valid = isinstance(value, Dataset) and list(value.schema) == names
        return dg.TypeCheck(is_valid, description=None if is_valid else f"not a dataset of the columns {names}")

    return dg.DagsterType(
        has_columns,
        name=schema.name.replace(".", "_"),
        typing_type=Dataset,
        metadata={"schema": dg.MetadataValue.table_schema(column_schema(schema))},
    )


def column_schema(schema: Schema) -> dg.TableSchema:
    """The columns, types and rules of a schema as the UI shows them."""
    columns = [
        dg.TableColumn(
            name,
            str(column.dtype),
            column.description,
            dg.TableColumnConstraints(column.nullable, column.unique, [check.text for check in column.checks]),
        )
        for name, column in schema.columns.items()
    ]
    return dg.TableSchema(columns, dg.TableConstraints(other=[check.text for check in schema.checks]))


def broken_contract(schema: Schema) -> dg.TableSchemaMetadataValue:
    """The columns and rules of a contract that rows have broken, as dagster-pandera shows pandera's schema."""
    from dagster_pandera import pandera_schema_to_dagster_type  # brings pandas, a second where all is well

    shown = pandera_schema_to_dagster_type(schema.pandera).metadata["schema"]
    assert isinstance(shown, dg.TableSchemaMetadataValue)
    return shown
