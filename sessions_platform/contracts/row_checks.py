"""Rules of a stream's file that relate `duplicates` and `skip` to its columns; part of ``stream_checks``.

They too work on the file as YAML has read it, and skip a value that is invalid on its own.
"""

from collections.abc import Iterator
from typing import Any

from sessions_platform.contracts.issues import Issue, Raw, mapping


def duplicates_issues(duplicates: Raw, columns: Raw) -> Iterator[Issue]:
    """What is compared of duplicates has to be there, and what is ignored to be compared."""
    compare, ignore = duplicates.get("compare"), duplicates.get("ignore")
    known = {*columns, "event_id", "properties"}
    for name in compare if isinstance(compare, list) else []:
        if isinstance(name, str) and name not in known:
            yield Issue(("duplicates", "compare"), f"there is no column {name!r}", f"name some of {', '.join(columns)}")
    if ignore and compare not in (None, "content"):
        yield Issue(("duplicates", "ignore"), "compare says already what is compared", "remove it, or compare")
    for name in [name for name in ignore if isinstance(name, str)] if isinstance(ignore, list) else []:
        if readers := [
            column for column in columns if name not in columns and name in _fields(mapping(columns, column))
        ]:
            yield Issue(
                ("duplicates", "ignore"), f"the column {readers[0]} reads {name!r}", f"name the column: {readers[0]}"
            )


def _fields(column: Raw) -> list[Any]:
    """The source fields that a column states."""
    stated = column.get("from") or column.get("join") or []
    return stated if isinstance(stated, list) else [stated]


def skip_issues(skip: Any, columns: Raw) -> Iterator[Issue]:
    """The columns that rules of `skip` name have to be there."""
    for rule in skip if isinstance(skip, list) else []:
        column = rule.get("column") if isinstance(rule, dict) else None
        if isinstance(column, str) and column not in columns:
            reason = f"there is no column {column!r}"
            yield Issue(("skip",), reason, f"name one of {', '.join(columns)}, or add it to columns")
