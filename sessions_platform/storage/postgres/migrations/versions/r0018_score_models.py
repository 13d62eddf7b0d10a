"""A table for the models of each stream's scores: in which lake file each is, and how well it did."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "score_models",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("score", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("features", JSONB, nullable=False),
        sa.Column("metrics", JSONB, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("trained_at", sa.DateTime(timezone=True), nullable=False),
        schema="sessions_platform",
    )
