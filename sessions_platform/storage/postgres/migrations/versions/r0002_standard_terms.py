"""Tables, columns and indexes are renamed to standard terms (see the glossary in docs/)."""

from alembic import op
from sqlalchemy import text

from sessions_platform.storage.postgres.migrations.changes import (
    has_column,
    rename_column,
    rename_index,
    rename_table,
    stream_schemas,
)

revision = "0002"
down_revision = "0001"

_TABLES = {"waiting": "stale_partitions", "replayed": "repairs"}
_COLUMNS = [
    ("landing_versions", "policy_version", "session_rule_version"),
    ("landing_versions", "shape", "observed_schema"),
    ("session_versions", "policy_version", "session_rule_version"),
    ("session_versions", "longest_chain_seconds", "longest_activity_chain_seconds"),
    ("repairs", "root_id", "original_id"),
    ("repairs", "root_uri", "original_uri"),
    ("repairs", "root_position", "original_position"),
]
_INDEXES = {
    "landing_files_of": "landing_files_landing_partition_idx",
    "landing_current": "landing_versions_landing_partition_current_key",
    "session_current": "session_versions_session_partition_current_key",
    "session_newest": "session_versions_session_partition_version_idx",
    "replayed_in": "repairs_landing_partition_idx",
    "replayed_of": "repairs_original_id_idx",
}
_STREAM_COLUMNS = [
    ("sessions", "policy_version", "session_rule_version"),
    ("sessions_now", "policy_version", "session_rule_version"),
    ("session_changes", "successor_id", "merged_into"),
]
_STREAM_INDEXES = {"rejection_decisions_newest": "rejection_decisions_rejection_id_decision_id_idx"}
# Both texts list the table's columns: a load recognizes by them what it need not compare or make again.
_VIEW_COMMENT = text("select obj_description(to_regclass(quote_ident(:schema) || '.sessions_now'), 'pg_class')")
_LOADED_PARTITIONS = """
update "{schema}".loaded_partitions
set written_by = replace(written_by, ' policy_version ', ' session_rule_version ')"""


def upgrade() -> None:
    """Rename them in the ledger, then in the schema of each stream."""
    for old, new in _TABLES.items():
        rename_table(old, new)
    for table, old, new in _COLUMNS:
        rename_column(table, old, new)
    for old, new in _INDEXES.items():
        rename_index(old, new)
    for schema in stream_schemas():
        _upgrade_stream(schema)


def _upgrade_stream(schema: str) -> None:
    for table, old, new in _STREAM_COLUMNS:
        if has_column(schema, table, old):
            rename_column(table, old, new, schema)
    for old, new in _STREAM_INDEXES.items():
        rename_index(old, new, schema)
    if has_column(schema, "loaded_partitions", "written_by"):
        op.execute(_LOADED_PARTITIONS.format(schema=schema))
    comment = op.get_bind().execute(_VIEW_COMMENT, {"schema": schema}).scalar()
    if comment:
        renamed = comment.replace("policy_version", "session_rule_version").replace("'", "''")
        op.execute(f"""comment on view "{schema}".sessions_now is '{renamed}'""")
