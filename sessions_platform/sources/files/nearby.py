"""What lies near landing files that a pattern does not find: the deepest folder of it that exists, and what is in it.

Here belongs one sentence for people. Not here: the search for landing files (`tree.py`).
"""

import difflib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import has_magic
from itertools import islice
from pathlib import Path, PurePosixPath

from sessions_platform.contracts.path_template import ANY_FOLDERS
from sessions_platform.sources.base import is_unfinished

_MOST_LOOKED_AT = 5_000  # names; a sentence needs no more
_DEEPEST = 6
_KINDS_SHOWN = 3
_FOLDERS_SHOWN = 5


def what_is_near(root: Path, pattern: str) -> str:
    """A clause on the deepest folder of a pattern that exists, and the files in it and below.

    Args:
        root: the folder that the pattern is relative to.
        pattern: a glob, relative to the root.
    """
    names = pattern.split("/")
    folders, missing = [root], None
    for name in names[:-1]:
        deeper = folders if name == ANY_FOLDERS else list(_children_like(folders, name))
        if not deeper:
            missing = name
            break
        folders = deeper
    shown = f"{folders[0]}" + (f" (and {len(folders) - 1} more)" if len(folders) > 1 else "")
    if not folders[0].is_dir():
        return f"{shown} is no folder"
    return f"{shown} exists and {_content(folders, missing)}"


def _children_like(folders: Sequence[Path], name: str) -> Iterator[Path]:
    for folder in folders:
        if has_magic(name):
            yield from (folder / each for each in _folders_in(folder) if fnmatchcase(each, name))
        elif (folder / name).is_dir():
            yield folder / name


def _folders_in(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(each.name for each in entries if each.is_dir() and not is_unfinished(each.name))
    except OSError:
        return []


def _content(folders: Sequence[Path], missing: str | None) -> str:
    files = list(islice((path for folder in folders for path in _files_below(folder)), _MOST_LOOKED_AT))
    parts = [_missing_folder(folders[0], missing)] if missing and not has_magic(missing) else []
    if files:
        parts.append(names_shown(files, folders, _MOST_LOOKED_AT))
    elif not parts:
        parts.append("has no file in it or below" if _folders_in(folders[0]) else "is empty")
    return ", and ".join(parts)


def _missing_folder(folder: Path, missing: str) -> str:
    present = _folders_in(folder)
    close = difflib.get_close_matches(missing, present, 1, 0.5)
    if not close:
        close = [name for name in present if name.lower() == missing.lower()]
    meant = f" (but {close[0]}/)" if close else f" (but {', '.join(present[:_FOLDERS_SHOWN])})" if present else ""
    return f"has no folder {missing}{meant}"


def names_shown(files: Sequence[Path], folders: Sequence[Path], most: int) -> str:
    """How many files there are of which names, and where the first one is if it is deeper than the folder.

    Args:
        files: at least one.
        folders: those that were looked into.
        most: if there are as many files, there may be more.
    """
    kinds = Counter(_kind(path.name) for path in files).most_common(_KINDS_SHOWN)
    several = "or more " if len(files) == most else ""
    listed = ", ".join(f"{count:,} {several}{'files' if count > 1 else 'file'} named {kind}" for kind, count in kinds)
    deeper = [path for path in files if path.parent not in folders]
    return f"has {listed}" + (f", as {deeper[0]}" if len(deeper) == len(files) else "")


def _kind(name: str) -> str:
    """What ends a file's name, at most two suffixes of letters, as a pattern; the whole name without any."""
    suffixes = [each for each in PurePosixPath(name).suffixes[-2:] if not each[1:].isdigit()]
    return f"*{''.join(suffixes)}" if suffixes else name


def _files_below(folder: Path) -> Iterator[Path]:
    """The files of a folder, then those of the folders in it, without hidden ones; what can't be read has none."""
    start = len(folder.parts)
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_unfinished(name))
        if len(Path(parent).parts) - start >= _DEEPEST:
            folders.clear()
        yield from (Path(parent, name) for name in sorted(names) if not is_unfinished(name))
