"""When a run was found lost, so that its process publishes nothing should it come back."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the column."""
    op.add_column("run_heartbeats", sa.Column("ended_at", sa.DateTime(timezone=True)), schema="sessions_platform")
