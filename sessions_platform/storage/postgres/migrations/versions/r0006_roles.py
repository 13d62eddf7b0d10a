"""The roles owner, loader and reader, and their rights in this database, where this login may make them.

The embedded server has them before this. Without the right to make them, an administrator can run ``roles.sql``; until
then everything is done by the one login of the warehouse's URL.
"""

from alembic import op

from sessions_platform.storage.postgres.roles import make_roles

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the roles."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None
    make_roles(connection)
