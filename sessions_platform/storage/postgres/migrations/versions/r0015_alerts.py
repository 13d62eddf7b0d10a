"""A table of alerts that fire, or have ended and are not yet told to be over."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the table."""
    now = sa.text("now()")
    op.create_table(
        "alerts",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("document", JSONB, nullable=False),
        sa.Column("told", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        schema="sessions_platform",
    )
