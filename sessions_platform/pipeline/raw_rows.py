"""The raw rows of one landing partition, all of them or those at some places, with what a replay would add.

Not here: what is done with them (`deduplicate.py`, `repairs.py`), and how they are stored (`raw_files.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from sessions_platform.contracts.events import PLACE
from sessions_platform.contracts.raw_events import RAW_EVENTS, with_fields_of
from sessions_platform.sources.formats.typed.payloads import with_payloads
from sessions_platform.storage.lake.lake import Dataset


@dataclass(frozen=True)
class RawRows:
    """The raw rows of one landing partition: the stored ones, and `more` that a replay would add to them."""

    stored: Dataset
    landing_partition: str
    more: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=RAW_EVENTS))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.stored.rows_of(self.landing_partition) + self.more.height

    def at_places(self, places: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """The rows at these places (source_uri, position); only files and row groups that may contain them are read."""
        positions = places["position"]
        paths = [file.path for file in self.stored.partitions[self.landing_partition]]

        def may_contain(first: int, last: int) -> bool:
            return positions.is_between(first, last).any()

        for path in paths:
            for rows in self.stored.lake.blocks([path], self._columns(path), "position", may_contain):
                yield with_payloads(rows.join(places, on=PLACE, how="semi", maintain_order="left"))
        yield self.more.join(places, on=PLACE, how="semi", maintain_order="left")

    def blocks(self) -> Iterator[pl.DataFrame]:
        """All rows, with the columns ``RAW_EVENTS`` and their files' fields, in frames that fit into memory."""
        for file in self.stored.partitions[self.landing_partition]:
            yield from self.stored.lake.blocks([file.path], self._columns(file.path))
        if self.more.height:
            yield self.more

    def _columns(self, path: str) -> dict[str, pl.DataType]:
        return with_fields_of(self.stored.lake.columns(path))
