"""A table for the targets of each stream: which delivery was the last one, and why the last one failed."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Make it."""
    op.create_table(
        "targets",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("delivered_token", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.Column("failure", sa.Text),
        sa.Column("failed_at", sa.DateTime(timezone=True)),
        schema="sessions_platform",
    )
