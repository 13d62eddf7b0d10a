"""Tables for the erasure of users, and what landing files contain of erased users."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"

_NOW = sa.text("now()")


def upgrade() -> None:
    """Make both tables, and add the column."""
    op.create_table(
        "erasures",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("erasure_id", sa.Text, primary_key=True),
        sa.Column("users", JSONB, nullable=False),
        sa.Column("progress", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("receipt", JSONB),
        schema="sessions_platform",
    )
    op.create_table(
        "tombstones",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("keyed_hash", sa.Text, primary_key=True),
        sa.Column("payload_bytes", sa.BigInteger),
        sa.Column("key_check", sa.Text, nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
        schema="sessions_platform",
    )
    op.add_column("landing_files", sa.Column("redacted_digest", sa.Text), schema="sessions_platform")
    refused = sa.Column("refused_rows", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("landing_files", refused, schema="sessions_platform")
