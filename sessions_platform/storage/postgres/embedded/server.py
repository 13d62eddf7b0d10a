"""Which processes use the server of a home: all that attach share it, and the last one to leave stops it.

Not here: how the server is started and stopped (``cluster``).
"""

import atexit
import fcntl
import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

from sessions_platform.storage.postgres.embedded.cluster import SUPERUSER, Cluster, cluster_of
from sessions_platform.storage.postgres.embedded.databases import WAREHOUSE
from sessions_platform.storage.postgres.embedded.errors import EmbeddedPostgresError, explaining
from sessions_platform.storage.postgres.embedded.folders import make_folder
from sessions_platform.storage.postgres.embedded.locks import exclusively, open_lock

_attached: dict[Path, "EmbeddedPostgres"] = {}
_one_at_a_time = threading.RLock()


def attach(home: Path) -> "EmbeddedPostgres":
    """Return the server of ``home``, which answers and has every database of ``databases.DATABASES``.

    A process attaches once however often it asks; asking again costs a ping, and
    starts the server again if it has died or the home was deleted. A
    forked child is not attached by its parent's call: its parent may leave and
    stop the server, so a child that outlives its parent has to attach, too.
    """
    home = home.expanduser().resolve()
    with _one_at_a_time, explaining(home):
        _watch_forks()
        server = _attached.get(home)
        if server is not None and not server.home_is_same():
            server.close()
            server = None
        if server is None:
            server = _attached[home] = EmbeddedPostgres(home)
            atexit.register(server.close)
        try:
            server.ensure_running()
        except BaseException:
            with suppress(EmbeddedPostgresError):
                server.close()
            raise
        return server


class EmbeddedPostgres:
    """This process's attachment to the shared server, made by ``attach``.

    The server is not stopped before every attached process has closed or ended.
    A child forked from this process is not attached, and its ``close`` does nothing.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        folder = make_folder(home / "postgres", passable=True)
        self._holding_path = folder / "holding.lock"
        self._starting = open_lock(folder / "starting.lock")
        self._holding = open_lock(self._holding_path)
        self._cluster: Cluster | None = None
        self._open = True

    def url(self, database: str = WAREHOUSE, role: str = SUPERUSER) -> str:
        """A libpq URL, valid until ``close``. After a crash of the server it works again once a process attaches.

        Args:
            database: one of ``databases.DATABASES``.
            role: who logs in; the superuser is for administration and never for the platform's own work.
        """
        if self._cluster is None:
            raise EmbeddedPostgresError("This process has left the embedded PostgreSQL. Fix: attach again.")
        with explaining(self._home):
            return self._cluster.url(database, role)

    def close(self) -> None:
        """Detach the whole process, and stop the server if no other process is attached."""
        with _one_at_a_time:
            if not self._open:
                return
            try:
                with exclusively(self._starting):
                    if self._cluster is not None and self._is_last():
                        self._cluster.stop()
                        self._cluster.remove_sockets()
            finally:
                atexit.unregister(self.close)
                _attached.pop(self._home, None)
                self.release()

    def ensure_running(self) -> None:
        """Attach, and start the server unless it answers."""
        with exclusively(self._starting):
            fcntl.flock(self._holding, fcntl.LOCK_SH)
            if self._cluster is None or not self._cluster.answers():
                self._cluster = cluster_of(self._home)
                self._cluster.start()
                self._cluster.create_databases()

    def home_is_same(self) -> bool:
        """Whether the home is the one that was attached to: not deleted, nor made again by another process."""
        try:
            return os.path.samestat(os.fstat(self._holding), self._holding_path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Detach, whatever the state of the server.

        Safe in a forked child: closing an inherited descriptor leaves the
        parent's lock in place, which unlocking it would not.
        """
        self._open, self._cluster = False, None
        os.close(self._starting)
        os.close(self._holding)

    def _is_last(self) -> bool:
        try:
            fcntl.flock(self._holding, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@cache
def _watch_forks() -> None:
    """Have forked children drop what they inherit; a fork waits for an `attach` or `close` that is going on."""
    os.register_at_fork(
        before=_one_at_a_time.acquire, after_in_parent=_one_at_a_time.release, after_in_child=_release_in_child
    )


def _release_in_child() -> None:
    for server in _attached.values():
        server.release()
    _attached.clear()
    _one_at_a_time.release()
