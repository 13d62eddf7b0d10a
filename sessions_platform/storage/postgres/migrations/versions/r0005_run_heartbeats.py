"""A table for the process that executes each run, and when it was last alive."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_NOW = sa.text("now()")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "run_heartbeats",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("boot", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("process_started", sa.Text, nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        schema="sessions_platform",
    )
