"""The pandera contracts as Dagster types, so that the UI shows columns and rules."""

import dagster as dg
import pandera.polars as pa
from dagster_pandera import pandera_schema_to_dagster_type

from sessions_platform.storage.lake.lake import Dataset


def dataset_type(schema: pa.DataFrameSchema) -> dg.DagsterType:
    """The type of an asset whose rows keep the schema.

    dagster-pandera types polars schemas as pandas frames, which dagster-polars refuses, so
    its metadata is kept and its Python type replaced. The rows themselves are proved by the
    check `keeps_contract`, block by block.
    """
    described = pandera_schema_to_dagster_type(schema)
    names = list(schema.columns)

    def has_columns(_context: dg.TypeCheckContext, value: object) -> dg.TypeCheck:
        fits = isinstance(value, Dataset) and list(value.schema) == names
        return dg.TypeCheck(fits, description=None if fits else f"not a dataset of the columns {names}")

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
