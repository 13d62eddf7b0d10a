"""Digests of what landing files unpack to, and of files that `ingest` has placed."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add both columns."""
    for name in ("text_digest", "placed_digest"):
        op.add_column("landing_files", sa.Column(name, sa.Text), schema="sessions_platform")
