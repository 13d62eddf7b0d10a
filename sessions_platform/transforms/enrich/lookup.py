"""Columns of a table for the key that an event has; null where the table lacks it, or no row holds at the time yet."""

from functools import cache

import polars as pl

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.data_files import content_of
from sessions_platform.contracts.lookup_table import AS_OF, KEY, read_table
from sessions_platform.contracts.lookups import Lookup
from sessions_platform.transforms.enrich.base import Values

_PLACE = "place of the input"


def looked_up(config: Lookup) -> Values:
    """Adds the columns that the keys take.

    Raises UnusableFileError where the table is another than when the stream's file was read.
    """
    content = content_of(config.path, config.digest)
    (key,) = config.reads

    @cache
    def table_of(key_type: pl.DataType) -> pl.DataFrame:
        kind = ColumnType.integer if key_type == pl.Int64 else ColumnType.string
        return read_table(config.path, content, config.wanted(kind))

    def of_keys(inputs: pl.DataFrame) -> pl.DataFrame:
        table = table_of(inputs.schema[key])
        if not config.as_of:
            return inputs.join(table, left_on=key, right_on=KEY, how="left", maintain_order="left")
        # Both sides sorted by time alone: the join takes the last row of the same key.
        events, rows = inputs.with_row_index(_PLACE).sort("event_timestamp"), table.sort(AS_OF)
        found = events.join_asof(
            rows, left_on="event_timestamp", right_on=AS_OF, by_left=key, by_right=KEY, check_sortedness=False
        )
        return found.sort(_PLACE)

    return of_keys
