"""The keys of the enrichment `lookup`: which columns of a table are added to the event whose key it has.

Not here: how the table is read and what makes it unusable (``lookup_table``), and how it is joined
(``transforms.enrich.lookup``).
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.data_files import digest_of
from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.contracts.lookup_table import Wanted, check_table, is_table
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import Identifier, invalid, shown


class Taken(Model):
    """A column of a table that is added to events."""

    column: str | None = Field(None, alias="from", min_length=1, description="Its name in the table, if another.")
    type: ColumnType = ColumnType.string


def _by_column(value: Any) -> Any:
    """`[category]` and `{price: float}` as `{category: {}}` and `{price: {type: float}}`."""
    if isinstance(value, list):
        value = {name: {} for name in value} if all(isinstance(name, str) for name in value) else value
    if not isinstance(value, dict):
        return value
    return {name: {"type": kind} if isinstance(kind, str) else kind for name, kind in value.items()}


_Take = Annotated[
    dict[Identifier, Taken],
    BeforeValidator(_by_column),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
                {"type": "object", "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
            ]
        }
    ),
]


class Lookup(EnrichmentConfig):
    """Columns of a table beside the stream's file, for the key that an event has."""

    implementation: ClassVar[str] = "sessions_platform.transforms.enrich.lookup:looked_up"
    reads_types: ClassVar[tuple[ColumnType, ...]] = (ColumnType.string, ColumnType.integer)
    repeats: ClassVar[bool] = True
    shows_inputs: ClassVar[bool] = True

    table: str = Field(description="A CSV or Parquet file, relative to the stream's file.")
    key: str = Field(min_length=1, description="The table's column that has the key, each once.")
    column: Identifier | None = Field(None, alias="from", description="The event's column; named as key where absent.")
    take: _Take = Field(description="The columns to add: a list of texts, or each with its type.")
    as_of: str | None = Field(
        None, min_length=1, description="The table's column with the time from which a row holds, for the event's time."
    )

    @field_validator("table")
    @classmethod
    def _format_is_known(cls, table: str) -> str:
        if not is_table(table):
            raise invalid(f"the suffix of {shown(table)} names no format", "let it end in .csv, .csv.gz or .parquet")
        return table

    @property
    def path(self) -> Path:
        """Where the table is."""
        return self.located(self.table)

    @property
    def added(self) -> Mapping[str, ColumnType]:
        return {name: taken.type for name, taken in self.take.items()}

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column or self.key,)

    @property
    def reads_time(self) -> bool:
        return self.as_of is not None

    def wanted(self, key_type: ColumnType) -> Wanted:
        """What is read of the table, where the event's column is of this type."""
        take = tuple((name, taken.column or name, taken.type) for name, taken in self.take.items())
        return Wanted(self.key, key_type, self.as_of, take)

    @cached_property
    def digest(self) -> str:
        """Of the table's bytes, as they were when it was first asked for. Raises UnusableFileError."""
        return digest_of(self.path)

    @property
    def data_versions(self) -> Mapping[str, str]:
        return {"table": self.digest}

    def check_files(self, kinds: Mapping[str, Any]) -> None:
        is_integer = kinds.get(self.reads[0]) == ColumnType.integer
        check_table(self.path, self.wanted(ColumnType.integer if is_integer else ColumnType.string))
