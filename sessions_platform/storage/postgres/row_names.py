"""Rows of any query as dicts, none of whose columns is lost where two have one name."""

from collections.abc import Callable, Sequence
from typing import Any

from psycopg import Cursor


def rows_by_distinct_names(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], dict[str, Any]]:
    """psycopg's row factory: each row as a dict with the names of `distinct`."""
    names = distinct([column.name for column in cursor.description or ()])
    return lambda values: dict(zip(names, values, strict=True))


def distinct(names: Sequence[str]) -> list[str]:
    """The names; a repeated one is numbered, from 2, past names that are taken: `id`, `id_2`."""
    taken: set[str] = set()
    result = []
    for name in names:
        number, candidate = 1, name
        while candidate in taken or (number > 1 and candidate in names):
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        result.append(candidate)
    return result
