"""What migrations have in common: renames that include the names of constraints, and the schemas of the streams.

Not here: the changes of one version, which are a module of ``versions``.
"""

from alembic import op
from sqlalchemy import inspect, text

LEDGER = "sessions_platform"

_CONSTRAINTS = text("""
select conname from pg_constraint c join pg_class t on t.oid = c.conrelid
where t.relnamespace = to_regnamespace(quote_ident(:schema)) and t.relname = :table and starts_with(conname, :prefix)
order by conname""")


def rename_table(old: str, new: str, schema: str = LEDGER) -> None:
    """Rename a table, and its constraints, whose names begin with its own."""
    op.rename_table(old, new, schema=schema)
    _rename_constraints(schema, new, f"{old}_", f"{new}_")


def rename_column(table: str, old: str, new: str, schema: str = LEDGER) -> None:
    """Rename a column of a table or a view, and the constraints that are named after it."""
    op.alter_column(table, old, new_column_name=new, schema=schema)
    _rename_constraints(schema, table, f"{table}_{old}_", f"{table}_{new}_")


def rename_index(old: str, new: str, schema: str = LEDGER) -> None:
    """Rename an index; one that a stream has not made yet is left out."""
    op.execute(f"alter index if exists {_quoted(schema)}.{_quoted(old)} rename to {_quoted(new)}")


def stream_schemas() -> list[str]:
    """The schemas of all streams that have tables of their own."""
    bind = op.get_bind()
    streams = [name for (name,) in bind.execute(text(f"select stream from {LEDGER}.streams order by stream"))]
    existing = set(inspect(bind).get_schema_names())
    return [name for name in streams if name in existing]


def has_column(schema: str, table: str, column: str) -> bool:
    """Whether the table or view exists and has the column."""
    inspector = inspect(op.get_bind())
    if not inspector.has_table(table, schema=schema):
        return False
    return column in {existing["name"] for existing in inspector.get_columns(table, schema=schema)}


def _rename_constraints(schema: str, table: str, old_prefix: str, new_prefix: str) -> None:
    constraints = (
        op.get_bind().execute(_CONSTRAINTS, {"schema": schema, "table": table, "prefix": old_prefix}).scalars()
    )
    for name in list(constraints):
        new = new_prefix + name.removeprefix(old_prefix)
        op.execute(
            f"alter table {_quoted(schema)}.{_quoted(table)} rename constraint {_quoted(name)} to {_quoted(new)}"
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
