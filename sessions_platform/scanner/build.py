"""Compile the scanner, into the environment that the platform is installed in.

Its file is named by a digest of all that it is made of, so that a library of another version is never loaded. It is in
the environment and not in a cache of one's own: whoever installs the platform compiles it for all who use it, and it
goes with the environment. Nothing is compiled while events are read.
"""

import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from sessions_platform.errors import UserError

SOURCE = Path(__file__).with_name("scanner.c")
DIGESTS, MESSAGES, LOOKUPS = (SOURCE.with_name(name) for name in ("digests.c", "messages.c", "lookups.c"))
VIEWS = SOURCE.with_name("views.h")
FOLDER = Path(sys.prefix) / "share" / "sessions-platform"
# For any processor of the kind: an environment may be moved to another machine.
FLAGS = ("-std=c11", "-O3", "-shared", "-fPIC")
NO_COMPILER = "there is no C compiler on the PATH. Fix: install one (gcc or clang), or the package ziglang"
_INCLUDE = f"-I{VIEWS.parent}"
_NAMES = ("cc", "gcc", "clang")
_SECONDS = 300  # zig makes its own C library the first time


def compilers() -> Iterator[list[str]]:
    """The commands that may compile, the first to be tried first: `CC`, one on the PATH, or the package ziglang."""
    if stated := os.environ.get("CC", "").split():
        yield stated
    yield from ([path] for name in _NAMES if (path := shutil.which(name)))
    if importlib.util.find_spec("ziglang"):
        yield [sys.executable, "-m", "ziglang", "cc"]


@cache
def library_file() -> Path:
    """Where the library of this version is, once it is compiled."""
    sources = [file.read_bytes() for file in (SOURCE, DIGESTS, MESSAGES, LOOKUPS, VIEWS)]
    made_of = [*sources, *map(str.encode, [*FLAGS, platform.system(), platform.machine()])]
    return FOLDER / f"scanner-{hashlib.sha256(b'|'.join(made_of)).hexdigest()[:16]}.so"


def build(check: Callable[[Path], object]) -> Path:
    """Compile the library where it isn't there yet, and remove those of other versions.

    Args:
        check: loads the library, and raises where it does not do what it should; it is then not kept.

    Raises:
        UserError: nothing here can compile it, or the folder can't be written to.
    """
    file = library_file()
    if not file.exists():
        try:
            _make(file, check)
        except OSError as error:
            raise UserError(
                f"{error.filename or FOLDER}: {error.strerror}. Fix: do this as the user who installed the platform"
            ) from None
    return file


def _make(file: Path, check: Callable[[Path], object]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / file.name
        _compile(made)
        check(made)
        made.replace(file)  # in one step: another process may do the same
    for other in set(file.parent.glob("scanner-*.so")) - {file}:
        other.unlink(missing_ok=True)


def _compile(made: Path) -> None:
    failed = NO_COMPILER
    for command in compilers():
        try:
            arguments = [*command, *FLAGS, _INCLUDE, *map(str, (SOURCE, DIGESTS, MESSAGES, LOOKUPS)), "-o", str(made)]
            done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            failed = f"{command[0]} can't be run: {error}"
            continue
        if done.returncode == 0:
            return
        failed = f"{' '.join(command)} can't compile {SOURCE}: {done.stderr.strip()[:500]}"
    raise UserError(failed)
