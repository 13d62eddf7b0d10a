"""Counts of events that share user and timestamp with another, by session partition."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column; partitions that were written before have 0."""
    count = sa.Column("simultaneous_events", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("session_versions", count, schema="sessions_platform")
