"""A table for what the last verification of each stream has found."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "verifications",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("deep", sa.Boolean, nullable=False),
        sa.Column("files", sa.BigInteger, nullable=False),
        sa.Column("without_checksum", sa.BigInteger, nullable=False),
        sa.Column("problems", JSONB, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("verified_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        schema="sessions_platform",
    )
