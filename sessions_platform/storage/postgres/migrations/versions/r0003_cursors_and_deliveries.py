"""Tables for the position up to which each source was read, and for what other warehouses contain."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"

_NOW = sa.text("now()")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "source_cursors",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("position", JSONB, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        schema="sessions_platform",
    )
    op.create_table(
        "deliveries",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("session_partition", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        schema="sessions_platform",
    )
