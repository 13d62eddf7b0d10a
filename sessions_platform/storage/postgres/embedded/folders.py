"""The folders of a home's cluster: inside the home, or outside of it where the server's user cannot enter it."""

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from sessions_platform.settings import make_home
from sessions_platform.storage.postgres.embedded.account import Account
from sessions_platform.storage.postgres.embedded.errors import OWN_SERVER, EmbeddedPostgresError

FOLDERS_OUTSIDE = (Path("/var/lib/sessions-platform"), Path("/var/tmp/sessions-platform"))


def cluster_folder(home: Path, account: Account) -> Path:
    """The folder of this home's cluster: in the home if the server may enter it there."""
    inside = home / "postgres" / "cluster"
    if inside.is_symlink():
        _check_link(home, inside.readlink())
    elif account.is_me or inside.exists() or account.can_reach(inside.parent):
        make_folder(inside, passable=not account.is_me)
    else:
        clusters = make_folder(folder_outside() / "clusters", passable=True)
        outside = make_folder(clusters / secrets.token_hex(8), passable=True)
        (outside / "home").symlink_to(home)
        inside.symlink_to(outside)
    return inside.resolve()


def _check_link(home: Path, outside: Path) -> None:
    """Reject a link that was copied from another home; correct the link of a home that was moved."""
    fix = f"Fix: delete {home / 'postgres'} to begin with an empty database here, {OWN_SERVER}"
    if not outside.exists():
        raise EmbeddedPostgresError(f"The database of {home} was in {outside}, which is gone. {fix}")
    origin = outside / "home"
    if origin.readlink() == home:
        return
    if (origin / "postgres" / "cluster").resolve() == outside:
        raise EmbeddedPostgresError(f"{home} is a copy of {origin.readlink()}, which the database stays with. {fix}")
    origin.unlink()
    origin.symlink_to(home)


def folder_outside() -> Path:
    """A folder for what the server's user can't reach elsewhere; only root may write to it."""
    for folder in FOLDERS_OUTSIDE:
        with suppress(OSError):
            state = make_folder(folder, passable=True).lstat()
            owned = stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid() and not state.st_mode & 0o022
            if owned and os.access(folder, os.W_OK):
                return folder
    raise EmbeddedPostgresError(
        "PostgreSQL refuses to run as root, and its user cannot enter the platform's folders. Fix: let other"
        f" users enter them, make {FOLDERS_OUTSIDE[0]} a folder that only root can write to, {OWN_SERVER}"
    )


def make_folder(path: Path, *, passable: bool) -> Path:
    """Make the folder and set its permissions; an existing one is left as it is."""
    make_home(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        if passable and os.geteuid() == 0:
            path.chmod(0o711)
    return path
