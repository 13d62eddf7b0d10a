"""The OS user that the server runs as, and programs that are run as this user.

Not here: which programs there are (``programs``), and the folders that the user needs (``folders``).
"""

import os
import pwd
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from sessions_platform.storage.postgres.embedded.errors import OWN_SERVER, EmbeddedPostgresError

SERVER_ACCOUNTS = ("postgres", "nobody")


class Account(NamedTuple):
    """The OS user that the server runs as."""

    uid: int
    gid: int

    @property
    def is_me(self) -> bool:
        """Whether this process runs as this user."""
        return self.uid == os.geteuid()

    def run(
        self,
        *command: str | Path,
        cwd: Path,
        output: IO[bytes] | int = subprocess.PIPE,
        keep: tuple[int, ...] = (),
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program as this user, out of reach of the terminal's Ctrl-C.

        ``cwd`` is entered before the user changes. The environment is not passed on:
        it may contain secrets, or PG variables of another server.
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

    def owns_privately(self, folder: Path) -> bool:
        """Whether the user owns the folder and no other user may enter it; False for a link, or if it is missing."""
        try:
            state = folder.lstat()
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(state.st_mode) and state.st_uid == self.uid and not state.st_mode & 0o077

    def take_ownership(self, folder: Path) -> None:
        """Make the user the folder's owner."""
        if not self.is_me:
            os.chown(folder, self.uid, self.gid)


def server_account() -> Account:
    """The user of this process, or another one where that is root. initdb needs a user that has a name."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for name in SERVER_ACCOUNTS:
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return Account(user.pw_uid, user.pw_gid)
    raise EmbeddedPostgresError(
        f"PostgreSQL refuses to run as root, and there is no user {' or '.join(SERVER_ACCOUNTS)} to run"
        f" it as. Fix: run the platform as an ordinary user, {OWN_SERVER}"
    )
