"""Rejected rows that stand for several raw rows, and repairs of as many."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add both columns. Until now each rejected row stood for itself, and so did each repair."""
    op.add_column("landing_versions", sa.Column("rejected_stretches", sa.BigInteger), schema="sessions_platform")
    rows = sa.Column("rows", sa.BigInteger, nullable=False, server_default="1")
    op.add_column("repairs", rows, schema="sessions_platform")
