"""Counts of rows that a stream skips on purpose, and of lines that are repeated where ids are derived."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add both columns."""
    for name in ("skipped", "repeated_lines"):
        count = sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        op.add_column("landing_versions", count, schema="sessions_platform")
