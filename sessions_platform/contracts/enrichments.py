"""The table of enrichments: which columns each adds to the events of a stream that names it.

An enrichment computes further columns of an accepted event from its own columns, such as the
host of a page or the device of a user agent. To add one, write its implementation (one file in
`transforms.enrich`, see the protocol in `transforms.enrich.base`) and add its entry to
`ENRICHMENTS`. When enrichments are applied is in `pipeline.enrich`. Nothing here imports an
implementation: the table names it by an import string, which `transforms.enrich.registry` resolves.

Enriched columns are stored with the event and may be used by the session rule and the sessions
table. They never decide whether two events conflict: only the contract's columns do.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.values import invalid


@dataclass(frozen=True)
class EnrichmentEntry:
    """One line of the table of enrichments.

    `implementation` is the import string of a class that keeps `transforms.enrich.base.Enrichment`. `version` is
    raised whenever the same event could get other values: it is part of the contract version, so that stored events
    become stale. `columns` are the columns it adds, with their types; all of them may be null.
    """

    implementation: str
    version: int
    columns: Mapping[str, ColumnType]


ENRICHMENTS: dict[str, EnrichmentEntry] = {}


def _known(name: str) -> str:
    if name not in ENRICHMENTS:
        fix = f"name one of {', '.join(ENRICHMENTS)}" if ENRICHMENTS else "remove it"
        raise invalid(f"there is no enrichment {name!r}", fix)
    return name


EnrichmentName = Annotated[str, AfterValidator(_known)]


def enriched_columns(names: Iterable[str]) -> dict[str, ColumnType]:
    """The columns that these enrichments add, in their order."""
    return {column: kind for name in names for column, kind in ENRICHMENTS[name].columns.items()}


def enrichment_versions(names: Iterable[str]) -> dict[str, int]:
    """The version of each of these enrichments; part of the stream's contract version."""
    return {name: ENRICHMENTS[name].version for name in names}


def column_clashes(names: Any, columns: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Find enrichments that add a column which the stream, or an enrichment before it, has already.

    Args:
        names: the value of `enrich` as the stream's file has it; whatever is not in the table is skipped.
        columns: the names of the stream's own columns.

    Yields:
        The name of the enrichment, and the name of the column.
    """
    taken = {"event_id", *columns}
    listed = names if isinstance(names, list) else []
    for name in (name for name in listed if isinstance(name, str) and name in ENRICHMENTS):
        yield from ((name, column) for column in ENRICHMENTS[name].columns if column in taken)
        taken.update(ENRICHMENTS[name].columns)
