"""Counts of passive events outside of sessions, and of events without an id of the tool, by session partition."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the columns; partitions that were written before have 0, for there were no such events."""
    for name in ("events_outside_sessions", "events_without_tool_id"):
        count = sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        op.add_column("session_versions", count, schema="sessions_platform")
