"""What a database says of itself: server, login, roles and version of the tables. It is only asked, and not changed.

Not here: the upgrade (`migrations`), and how roles are made (`roles.py`).
"""

from dataclasses import dataclass
from pathlib import Path

from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.postgres.embedded.cluster import cluster_of
from sessions_platform.storage.postgres.migrations import HEAD, version_of
from sessions_platform.storage.postgres.roles import LOADER, OWNER, READER

_ABOUT = """
select current_setting('server_version'), session_user,
    array(select coalesce((select pg_has_role(session_user, oid, 'member') from pg_roles where rolname = wanted), false)
          from unnest(%s::text[]) with ordinality as names (wanted, place) order by place)"""


@dataclass(frozen=True)
class AboutDatabase:
    """What a database says of itself.

    Attributes:
        shown: where it is, without secrets.
        server: PostgreSQL's version, as in 16.2.
        login: the role that logged in.
        roles: by role of the platform, whether the login may act as it.
        version: of the tables; None where there are none.
        newest: the version that this program makes.
    """

    shown: str
    server: str
    login: str
    roles: dict[str, bool]
    version: str | None
    newest: str


def about_database(database: Database) -> AboutDatabase:
    """Ask a database about itself. Raises what connecting raises."""
    names = [OWNER, LOADER, READER]
    with database.transaction(read_only=True) as connection:
        row = connection.execute(_ABOUT, [names]).fetchone()
        assert row is not None
        server, login, members = row
        version = version_of(connection)
    roles = dict(zip(names, members, strict=True))
    return AboutDatabase(database.shown, server.split()[0], login, roles, version, HEAD)


def embedded_is_running(home: Path) -> bool:
    """Whether the embedded server of a home answers; nothing is made where there is none."""
    return (home / "postgres" / "cluster").exists() and cluster_of(home).answers()
