"""One data folder and its server: how it is made, started, asked, stopped.

Not here: which processes use it (``server``), and where its folder is (``folders``).
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from psycopg.pq import PGconn, Ping

from sessions_platform.storage.postgres.embedded.account import Account, server_account
from sessions_platform.storage.postgres.embedded.databases import create_databases
from sessions_platform.storage.postgres.embedded.errors import OWN_SERVER, EmbeddedPostgresError
from sessions_platform.storage.postgres.embedded.folders import cluster_folder
from sessions_platform.storage.postgres.embedded.locks import open_lock
from sessions_platform.storage.postgres.embedded.programs import MAJOR_VERSION, find_programs

SUPERUSER = "postgres"
SHORT_FOLDER = Path("/tmp")
SOCKET = ".s.PGSQL.5432"
SETTINGS = {
    "shared_buffers": "128MB",
    "max_connections": "50",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
ALWAYS = {"listen_addresses": "", "port": "5432", "unix_socket_permissions": "0700"}
RETRY_SECONDS = 10
RECOVERY_SECONDS = 120
STOP_SECONDS = 60
LOG_BYTES_KEPT = 10_000_000


@dataclass(frozen=True)
class Cluster:
    """One data folder and its server. A caller that changes its state has locked ``starting.lock``.

    Programs run inside ``folder`` and get relative paths, because ``pg_ctl``
    and ``initdb`` pass them to a shell in double quotes.
    """

    folder: Path
    account: Account
    programs: Path

    def url(self, database: str, role: str = SUPERUSER) -> str:
        """A libpq URL of one of its databases; the socket's folder is private, so that a role needs no password."""
        sockets = quote(str(self._sockets.readlink()), safe="")
        return f"postgresql://{role}@localhost:5432/{quote(database, safe='')}?host={sockets}"

    def answers(self) -> bool:
        """Whether the server accepts connections."""
        return self._ping() == Ping.OK

    def start(self) -> None:
        """Return once the server answers, whatever a crash has left behind."""
        if not self._data.exists():
            self._create_data()
        self._check_version()
        began = time.monotonic()
        while (ping := self._ping()) != Ping.OK:
            patience = RECOVERY_SECONDS if ping == Ping.REJECT else RETRY_SECONDS
            if time.monotonic() - began > patience:
                raise self._failure("The embedded PostgreSQL does not answer.", self._end_of_log())
            self._advance()

    def stop(self) -> None:
        """Wait until no process of the server is left.

        A server whose data folder was deleted is left alone: it ends on its own
        within a minute.
        """
        if not self._data.exists() or not self._is_alive():
            return
        output = self._run("pg_ctl", "stop", "-D", "data", "-s", "-m", "fast", "-W").stdout
        give_up = time.monotonic() + STOP_SECONDS
        while self._is_alive():
            if time.monotonic() > give_up:
                raise self._failure("The embedded PostgreSQL does not stop.", output.decode())
            time.sleep(0.01)

    def remove_sockets(self) -> None:
        """Remove the folder of the socket. The server is stopped."""
        if self._has_sockets():
            shutil.rmtree(self._sockets.readlink(), ignore_errors=True)
        self._sockets.unlink(missing_ok=True)

    def create_databases(self) -> None:
        """Create the databases and roles that are missing. The server answers."""
        create_databases(self.url)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    @property
    def _sockets(self) -> Path:
        """A link to the folder of the socket, whose path may not exceed 107 bytes."""
        return self.folder / "sockets"

    def _ping(self) -> Ping:
        if not self._has_sockets():
            return Ping.NO_RESPONSE
        return Ping(PGconn.ping(f"{self.url('postgres')}&connect_timeout=5".encode()))

    def _is_alive(self) -> bool:
        """Whether any process of the server is left, be it a backend that outlived the postmaster.

        They inherit a lock from ``_launch``. Unlike the number in ``postmaster.pid``
        it matches neither a zombie nor another process that got the same number later.
        """
        lock = open_lock(self.folder / "running.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _advance(self) -> None:
        """Start a server that does not run, wait for one that starts or ends, and stop one that lost its socket."""
        if not self._is_alive():
            self._launch()
        elif self._has_sockets() and (self._sockets / SOCKET).exists():
            time.sleep(0.05)
        else:
            self.stop()

    def _launch(self) -> None:
        """Start the server. No process of it is alive, so files that say otherwise are stale."""
        sockets = self._socket_folder()
        for stale in (self._data / "postmaster.pid", sockets / SOCKET, sockets / f"{SOCKET}.lock"):
            stale.unlink(missing_ok=True)
        options = {**ALWAYS, "unix_socket_directories": sockets}
        arguments = " ".join(f"-c {name}={value}" for name, value in options.items())
        command = ("pg_ctl", "start", "-D", "data", "-s", "-w", "-t", str(RECOVERY_SECONDS), "-o", arguments)
        running = open_lock(self.folder / "running.lock")
        try:
            fcntl.flock(running, fcntl.LOCK_SH)
            with self._opened_log() as log:
                done = self._run(*command, output=log, keep=(running,))
        finally:
            os.close(running)
        if done.returncode != 0:
            raise self._failure("The embedded PostgreSQL does not start.", self._end_of_log())

    def _create_data(self) -> None:
        """Make the data folder under another name first, so that a crash leaves no half of one."""
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self.account.take_ownership(new)
        where = ("--pgdata=data.new", f"--username={SUPERUSER}", "--auth=trust", "--no-instructions")
        what = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        settings = (f"--set={name}={value}" for name, value in SETTINGS.items())
        done = self._run("initdb", *where, *what, *settings)
        if done.returncode != 0:
            raise self._failure("The embedded PostgreSQL could not make its data.", done.stdout.decode())
        new.rename(self._data)

    def _check_version(self) -> None:
        marker = self._data / "PG_VERSION"
        version = marker.read_text().strip() if marker.exists() else "an unknown version"
        if version != MAJOR_VERSION:
            raise EmbeddedPostgresError(
                f"The data in {self._data} is of PostgreSQL {version}, and this is {MAJOR_VERSION}. Fix: save it"
                f" with the pg_dumpall of its own version, or delete it to begin empty, {OWN_SERVER}"
            )

    def _has_sockets(self) -> bool:
        """Whether the link leads to a folder of this cluster, and not, copied with its home, to another one's."""
        if not self._sockets.is_symlink() or not self.account.owns_privately(self._sockets.readlink()):
            return False
        return (self._sockets / "cluster").resolve() == self.folder

    def _socket_folder(self) -> Path:
        """The folder of the socket; an existing one is kept, as the URLs of other attached processes name it."""
        if not self._has_sockets():
            self._sockets.unlink(missing_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="sessions-", dir=SHORT_FOLDER))
            (folder / "cluster").symlink_to(self.folder)
            self.account.take_ownership(folder)
            self._sockets.symlink_to(folder)
        return self._sockets.readlink()

    def _opened_log(self) -> IO[bytes]:
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES_KEPT:
            self._log.replace(self._log.with_suffix(".log.1"))
        self._log.touch(mode=0o600)
        return self._log.open("ab")

    def _end_of_log(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-10:])

    def _run(
        self,
        program: str,
        *arguments: str,
        output: IO[bytes] | int = subprocess.PIPE,
        keep: tuple[int, ...] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        return self.account.run(self.programs / program, *arguments, cwd=self.folder, output=output, keep=keep)

    def _failure(self, sentence: str, detail: str) -> EmbeddedPostgresError:
        return EmbeddedPostgresError(
            f"{sentence} Its log is {self._log}.\n{detail}\nFix: remove the cause, {OWN_SERVER}"
        )


def cluster_of(home: Path) -> Cluster:
    """The home's cluster, which its server runs as the user who owns the data. Makes its folder where it is missing."""
    account = server_account()
    folder = cluster_folder(home, account)
    if not account.is_me and (folder / "data").exists():
        owner = (folder / "data").stat()
        account = Account(owner.st_uid, owner.st_gid)
    return Cluster(folder, account, find_programs(account))
