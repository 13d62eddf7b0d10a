"""Why there is no stream of a name, or none at all: which folder was looked at and why, and what lies there.

Here belong the sentences for a forgotten or wrong `SESSIONS_STREAMS`, and for files likely meant as a stream's. Not
here: which files are read (``stream_folder``), and what is wrong inside of one (``stream_file``).
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from sessions_platform.errors import UserError
from sessions_platform.settings import DEMO_STREAMS

SUFFIXES = (".yaml", ".yml")
VARIABLE = "SESSIONS_STREAMS"

_NAMES_SHOWN = 5
_NEARLY = re.compile(r"\.ya?ml", re.IGNORECASE)
_SET_ASIDE = re.compile(r"(^\.|~$|\.(bak|orig|old|swp|tmp|part|disabled)$)", re.IGNORECASE)


def unknown_stream(name: str, known: Iterable[str], folders: Sequence[Path]) -> UserError:
    """The error for a name that no stream has.

    Args:
        name: what was asked for.
        known: the names of all streams, of broken ones too.
        folders: those that were looked at.
    """
    names = sorted(known)
    own = [folder for folder in folders if folder != DEMO_STREAMS]
    notes = [note.rstrip(".") for note in notes_on(own)]
    close = difflib.get_close_matches(name, names, 1)
    if not own:
        reason = f"{VARIABLE} is not set, so that only the demo's streams are known"
        return UserError(f"{name}: there is no such stream: {reason}. Fix: {_export(name)}.")
    if notes:
        return UserError(f"{name}: there is no such stream: {'; '.join(notes)}.")
    looked_at = " and ".join(map(str, own))
    hint = f"write {close[0]}" if close else f"name one of {', '.join(names)}"
    fix = f"{hint}, or put {name}.yaml into the folder"
    return UserError(f"{name}: there is no such stream in {looked_at} ({VARIABLE}). Fix: {fix}.")


def notes_on(folders: Iterable[Path]) -> Iterator[str]:
    """A sentence on each folder of one's own that has no stream, or files that are likely meant as one."""
    for folder in folders:
        if folder == DEMO_STREAMS:
            continue
        names = _names_in(folder)
        meant = [name for name in names if is_misnamed(name)]
        if meant:
            suggested = _NEARLY.split(meant[0])[0]
            fix = f"rename it {suggested}.yaml"
            yield f"{folder} ({VARIABLE}) has {_listed(meant)}, and only names in .yaml or .yml are read. Fix: {fix}."
        elif not any(name.endswith(SUFFIXES) for name in names):
            yield f"{folder} ({VARIABLE}) {_without_streams(folder, names)}"


def is_misnamed(name: str) -> bool:
    """Whether a file is likely meant as a stream's, as `app.yaml.txt`, and not read as one."""
    is_meant = _NEARLY.search(name) and not _SET_ASIDE.search(name)
    return bool(is_meant) and not name.endswith(SUFFIXES)


def no_such_folder(folder: Path) -> tuple[str, str]:
    """The reason and the fix where a folder of streams is none: it is missing, or a file."""
    if folder.exists():
        return "it is a file, and streams are the files of a folder", f"name its folder, {folder.parent}"
    above = folder.parent
    while not above.is_dir():
        above = above.parent
    close = difflib.get_close_matches(folder.name, _folders_in(above), 1) if above == folder.parent else []
    if close:
        return f"there is no such folder, but {above / close[0]}", "name that, or make the folder"
    return f"there is no such folder; {above} exists", "make it, or name the folder that has the streams' files"


def _without_streams(folder: Path, names: Sequence[str]) -> str:
    below = next(_one_level_below(folder), None)
    if below:
        return f"has no stream's file, but {below}, and folders in it are not read. Fix: name {below.parent}."
    content = f"has no .yaml or .yml file, but {_listed(names)}" if names else "is empty"
    return f"{content}. Fix: put the stream's file there, or name the folder that has it."


def _export(name: str) -> str:
    here = next((path for path in (Path.cwd() / f"{name}{suffix}" for suffix in SUFFIXES) if path.exists()), None)
    return f"export {VARIABLE}={here.parent}" if here else f"export {VARIABLE}= with the folder of {name}.yaml"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _folders_in(folder: Path) -> list[str]:
    return [name for name in _names_in(folder) if (folder / name).is_dir()]


def _one_level_below(folder: Path) -> Iterator[Path]:
    for name in _folders_in(folder):
        yield from (folder / name / each for each in _names_in(folder / name) if each.endswith(SUFFIXES))
