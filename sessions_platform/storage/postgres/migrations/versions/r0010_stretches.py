"""Rejected rows that stand for several raw rows, and repairs of as many."""

import sqlalchemy as sa
from alembic import op

from sessions_platform.storage.postgres.migrations.changes import has_column, stream_schemas

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the columns. Until now each rejected row stood for itself, and so did each repair."""
    op.add_column("landing_versions", sa.Column("rejected_stretches", sa.BigInteger), schema="sessions_platform")
    rows = sa.Column("rows", sa.BigInteger, nullable=False, server_default="1")
    op.add_column("repairs", rows, schema="sessions_platform")
    for schema in stream_schemas():
        if has_column(schema, "rejected_events", "payload") and not has_column(schema, "rejected_events", "rows"):
            of_rejected = sa.Column("rows", sa.BigInteger, server_default=sa.text("1"))
            op.add_column("rejected_events", of_rejected, schema=schema)
