"""How records become metadata, which the UI shows as a table of an asset or a check.

Not here: what the records contain (`pipeline/records.py`). Dagster keeps all metadata in its event log.
"""

from collections.abc import Iterable, Mapping

import dagster as dg

from sessions_platform.pipeline.records import Records

_ROWS_SHOWN = 100


def as_lineage(columns: Mapping[str, Iterable[str]], of: dg.AssetKey) -> dict[str, dg.MetadataValue]:
    """Metadata by which the UI shows from which columns of another asset each column is made."""
    deps = {name: [dg.TableColumnDep(of, each) for each in names] for name, names in columns.items()}
    return {"dagster/column_lineage": dg.MetadataValue.column_lineage(dg.TableColumnLineage(deps))}


def as_table(name: str, records: Records) -> dict[str, dg.MetadataValue]:
    """Metadata of this name that the UI shows as a table of at most 100 rows; none where there are no records."""
    if not records:
        return {}
    columns = [dg.TableColumn(column, _type_of(records, column)) for column in records[0]]
    shown = [dg.TableRecord(dict(record)) for record in records[:_ROWS_SHOWN]]
    return {name: dg.MetadataValue.table(shown, schema=dg.TableSchema(columns))}


def _type_of(records: Records, column: str) -> str:
    """The type of a column by its first value that is not null."""
    types = {str: "string", int: "int", float: "float"}
    value = next((record[column] for record in records if record[column] is not None), "")
    return types[type(value)]
