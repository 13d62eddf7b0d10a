"""The tables and views of a stream's schema as they are now: one statement for all of them.

Every command asks for them before it does anything, so that what it costs to ask is part of each. Not here: what they
should be (`tables.py`, and a module for each kind of view).
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import psycopg

# Of the catalog itself: information_schema.columns takes many times as long.
_RELATIONS = """
select c.relname, obj_description(c.oid, 'pg_class'), a.attname, format_type(a.atttypid, null), a.atthasdef
from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relnamespace = to_regnamespace(%s) and c.relkind in ('r', 'p', 'v', 'm')
    and a.attnum > 0 and not a.attisdropped
order by a.attnum"""


class Relation(NamedTuple):
    """A table or a view; one without columns is not there.

    Attributes:
        comment: what `comment on` has said of it.
        columns: by name their types, as the catalog spells them.
        with_default: the columns that have one.
    """

    comment: str | None = None
    columns: Mapping[str, str] = {}
    with_default: frozenset[str] = frozenset()


def relations(connection: psycopg.Connection, schema: str) -> Mapping[str, Relation]:
    """The relations of a schema by name; of one that is not there, `Relation()`."""
    found: dict[str, Relation] = defaultdict(Relation)
    for name, comment, column, type_, has_default in connection.execute(_RELATIONS, [schema]).fetchall():
        _, columns, with_default = found[name]
        defaults = with_default | {column} if has_default else with_default
        found[name] = Relation(comment, {**columns, column: type_}, defaults)
    return found
