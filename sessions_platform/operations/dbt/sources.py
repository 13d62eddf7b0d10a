"""The file of sources that dbt reads of a stream, and what it says at its head.

Not here: which tables there are (`tables.py`, `duckdb.py`), and where it is written (`cli/dbt.py`).
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import yaml

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import DuckdbTarget
from sessions_platform.errors import UserError
from sessions_platform.operations.dbt.duckdb import duckdb_tables
from sessions_platform.operations.dbt.source_table import SourceColumn, SourceTable
from sessions_platform.operations.dbt.tables import StreamTables

_PERIODS = (("day", timedelta(days=1)), ("hour", timedelta(hours=1)), ("minute", timedelta(minutes=1)))
_TEMPLATE = re.compile(r"\{(?=[{%#])")
# By its first words a file is known to be one of these.
WRITTEN_BY = "# Written by `sessions-platform dbt"


def sources_text(stream: Stream, target: str | None = None) -> str:
    """The file of a stream: one source, for its schema in PostgreSQL or for one of its DuckDB files.

    dbt reads each with an adapter of its own, so that both are never in one file.

    Args:
        stream: whose tables they are.
        target: the name of a target of type duckdb; None for PostgreSQL.

    Raises:
        UserError: there is no such target.
    """
    within = _period(stream.source.fresh_within)
    if target is None:
        name, tables = stream.name, StreamTables(stream, within)
        place = {"name": name, "description": _about(stream, "as the platform loads them"), "schema": name}
    else:
        config = _duckdb_target(stream, target)
        name = f"{stream.name}_{target}"
        tables = duckdb_tables(stream, target, name, within)
        about = _about(stream, f"as they are delivered to {config.path}")
        place = {"name": name, "description": about, "database": name, "schema": "main"}
    document = _as_is({"version": 2, "sources": [{**place, "tables": [_table(stream, table) for table in tables]}]})
    head = "\n".join(f"# {line}" for line in _head(stream, target))
    return f"{head}\n{yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)}"


def _duckdb_target(stream: Stream, name: str) -> DuckdbTarget:
    found = {each: config for each, config in stream.targets.items() if isinstance(config, DuckdbTarget)}
    if name not in found:
        fix = f"name {' or '.join(found)}" if found else "add it under targets, or leave --target out for PostgreSQL"
        raise UserError(f"{stream.path}: targets: there is none of type duckdb by the name {name}. Fix: {fix}.")
    return found[name]


def _about(stream: Stream, where: str) -> str:
    return " ".join(filter(None, (stream.description, f"Sessions and what belongs to them, {where}.")))


def _head(stream: Stream, target: str | None) -> Iterator[str]:
    stated = f"{stream.name} --target {target}" if target else stream.name
    yield f"Written by `sessions-platform dbt {stated}`, which writes it anew: edits are lost."
    yield "Settings of your own, such as freshness and severity, belong in dbt_project.yml, and tests in tests/."
    if target:
        path = _duckdb_target(stream, target).path
        yield "The profile needs a path of its own, and this file beside it, which deliveries replace:"
        yield f"attach: [{{path: {path}, alias: {stream.name}_{target}, read_only: true}}]"


def _table(stream: Stream, table: SourceTable) -> dict[str, Any]:
    prefix = stream.key_prefix.split("/") if stream.key_prefix else []
    return {
        "name": table.name,
        "description": table.description,
        "config": {**table.config, "meta": {"dagster": {"asset_key": [*prefix, stream.name, table.asset]}}},
        "columns": [_column(name, column) for name, column in table.columns.items()],
    }


def _column(name: str, column: SourceColumn) -> dict[str, Any]:
    described = {"name": name, "data_type": column.data_type, "description": column.description}
    return {**described, **({"data_tests": list(column.tests)} if column.tests else {})}


def _period(within: timedelta | None) -> Mapping[str, Any] | None:
    """A duration as dbt states it, in whole minutes, hours or days; one with a fraction of a minute is longer then."""
    if within is None:
        return None
    whole = timedelta(minutes=-(-within // timedelta(minutes=1)))
    return next({"count": whole // unit, "period": name} for name, unit in _PERIODS if whole % unit == timedelta(0))


def _as_is(value: Any) -> Any:
    """The same with all texts such that dbt, for which each is a template, makes the text of it."""
    if isinstance(value, str):
        return _TEMPLATE.sub("{{ '{' }}", value)
    if isinstance(value, dict):
        return {key: _as_is(each) for key, each in value.items()}
    return [_as_is(each) for each in value] if isinstance(value, list) else value


class _Dumper(yaml.SafeDumper):
    """Without anchors, which a reader would have to follow, and with lists as dbt's documentation has them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature of PyYAML
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        return super().increase_indent(flow, indentless=False)
