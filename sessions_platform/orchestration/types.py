"""The contracts as Dagster types and column schemas, so that the UI shows columns and rules.

Not here: whether stored rows keep a contract (`pipeline/quality.py`).
"""

import dagster as dg
import pandera.polars as pa
from dagster_pandera import pandera_schema_to_dagster_type

from sessions_platform.storage.lake.lake import Dataset


def dataset_type(schema: pa.DataFrameSchema) -> dg.DagsterType:
    """The type of an asset whose rows keep the schema: a `Dataset` with its columns, in order.

    dagster-pandera types polars schemas as pandas frames, which dagster-polars does not accept, so its metadata is kept
    and its Python type replaced. The rows themselves are checked by `keeps_contract`.
    """
    described = pandera_schema_to_dagster_type(schema)
    names = list(schema.columns)

    def has_columns(_context: dg.TypeCheckContext, value: object) -> dg.TypeCheck:
        is_valid = isinstance(value, Dataset) and list(value.schema) == names
        return dg.TypeCheck(is_valid, description=None if is_valid else f"not a dataset of the columns {names}")

    return dg.DagsterType(
        has_columns,
        name=(schema.name or "dataset").replace(".", "_"),
        description=schema.description,
        typing_type=Dataset,
        metadata=described.metadata,
    )


def column_schema(schema: pa.DataFrameSchema) -> dg.TableSchema:
    """The columns, types and rules of a schema as the UI shows them."""
    metadata = pandera_schema_to_dagster_type(schema).metadata["schema"]
    assert isinstance(metadata, dg.TableSchemaMetadataValue)
    return metadata.schema
