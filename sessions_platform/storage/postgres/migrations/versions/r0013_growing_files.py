"""Where in a landing file that goes on growing the rows of a slice lie."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns; null for files that were read before."""
    for name in ("extent", "redacted_extent"):
        op.add_column("landing_files", sa.Column(name, JSONB), schema="sessions_platform")
