"""Where a stream's landing files are: a path with a placeholder, by the dates in the names of files.

Here: templates by names. Not here: which landing partition a file then belongs to (`contracts.path_template`).
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath

from sessions_platform.contracts.formats import COMPRESSED

# How names spell dates, and how a placeholder does.
_DATES = (
    (re.compile(r"(?<!\d)(?P<y>(?:19|20)\d{2})-(?P<m>\d{2})-(?P<d>\d{2})(?!\d)"), "%Y-%m-%d"),
    (re.compile(r"(?<!\d)(?P<y>(?:19|20)\d{2})_(?P<m>\d{2})_(?P<d>\d{2})(?!\d)"), "%Y_%m_%d"),
    (re.compile(r"(?<!\d)(?P<y>(?:19|20)\d{2})\.(?P<m>\d{2})\.(?P<d>\d{2})(?!\d)"), "%Y.%m.%d"),
    (re.compile(r"(?<!\d)(?P<y>(?:19|20)\d{2})(?P<m>\d{2})(?P<d>\d{2})(?!\d)"), "%Y%m%d"),
)
# With the hour behind the date; digits that count files look alike, so all names have to have one, and not the same.
_HOURS = tuple(
    (re.compile(rf"(?<!\d)(?P<y>(?:19|20)\d{{2}}){dash}(?P<m>\d{{2}}){dash}(?P<d>\d{{2}}){between}(?P<h>[01]\d|2[0-3])(?!\d)"),
     f"%Y{spelled}%m{spelled}%d{said}%H")
    for dash, spelled in (("-", "-"), ("_", "_"), (r"\.", "."), ("", ""))
    for between, said in (("-", "-"), ("_", "_"), ("T", "T"), (r"\.", "."), ("", ""))
)  # fmt: skip
_IN_FOLDERS = (
    re.compile(r"(?<=/)(?P<y>(?:19|20)\d{2})/(?P<m>\d{2})/(?P<d>\d{2})(?=/)"),
    "%Y/%m/%d",
)
_DAILY = "{partition:%Y-%m-%d}"


@dataclass(frozen=True)
class Template:
    """A path of landing files, relative to the folder of the stream's file.

    Attributes:
        files: as `source.files` states it.
        says: where the landing partition comes from.
        in_place: an absolute path that finds the files where they are, where their folders have dates; else None.
        is_hourly: whether the placeholder has an hour, so that landing partitions are hours.
    """

    files: str
    says: str
    in_place: str | None = None
    is_hourly: bool = False


def landing_template(name: str, files: Sequence[Path], *, by_file_name: bool = True) -> Template:
    """The path for files that `ingest` copies to the landing folder of a stream.

    Args:
        name: of the stream.
        files: absolute paths.
        by_file_name: whether dates in the names of files may state the landing partition.
    """
    names = [file.name for file in files]
    if by_file_name and (hourly := _hourly_name(names)):
        says = "the date and the hour in a file's name are its landing partition; if what looks like an hour is none, "
        return Template(f"landing/{name}/{hourly}", f"{says}remove landing, and write * for it", is_hourly=True)
    dated = _dated_name(names) if by_file_name else None
    if dated:
        return Template(f"landing/{name}/{dated}", "the date in a file's name is its landing partition")
    says = "ingest puts a file into the folder of the day on which it is ingested"
    return Template(f"landing/{name}/{_DAILY}/*{_common_suffix(names)}", says, _in_place(files))


def _hourly_name(names: Sequence[str]) -> str | None:
    """The names as one template of hours; None where not all have one, or none differs from the others."""
    for pattern, fmt in _HOURS:
        found = [_last(pattern, name) for name in names]
        if len({match["h"] for match in found if match}) > 1 and (template := _dated_name(names, ((pattern, fmt),))):
            return template
    return None


def _dated_name(names: Sequence[str], dates: Sequence[tuple[re.Pattern[str], str]] = _DATES) -> str | None:
    """The names as one template; None where not all of them have a date in one spelling."""
    for pattern, fmt in dates:
        found = [_last(pattern, name) for name in names]
        matches = [match for match in found if match]
        if len(matches) == len(names):
            before = {match.string[: match.start()] for match in matches}
            after = {match.string[match.end() :] for match in matches}
            return f"{_one_or_any(before)}{{partition:{fmt}}}{_tail(after)}"
    return None


def _last(pattern: re.Pattern[str], name: str) -> re.Match[str] | None:
    """The last date in a name that the calendar has."""
    found = None
    for match in pattern.finditer(name):
        try:
            date(int(match["y"]), int(match["m"]), int(match["d"]))
        except ValueError:
            continue
        found = match
    return found


def _one_or_any(texts: set[str]) -> str:
    return _literal(next(iter(texts))) if len(texts) == 1 else "*"


def _tail(texts: set[str]) -> str:
    """What follows the date: a suffix that all names have, and anything before it."""
    suffix = _common_suffix(sorted(texts))
    return _literal(suffix) if texts == {suffix} else f"*{suffix}"


def _common_suffix(names: Sequence[str]) -> str:
    """The suffix that all names end with, such as .csv.gz; empty where there is none."""
    suffixes = {suffix_of(name) for name in names}
    return _literal(next(iter(suffixes))) if len(suffixes) == 1 else ""


def suffix_of(name: str) -> str:
    """What a name ends with: its last suffix, and the one before where that is of a compression; digits are none."""
    parts = PurePosixPath(f"x{name}").suffixes
    last = parts[-2:] if parts and parts[-1].lower() in COMPRESSED else parts[-1:]
    return "".join(part for part in last if not part[1:2].isdigit() and "-" not in part)


def _literal(text: str) -> str:
    """A text within a path template: wildcards and braces of its own stand for any character."""
    return re.sub(r"[*?\[\]{}]", "?", text)


def _in_place(files: Sequence[Path]) -> str | None:
    """One absolute path template for files below folders with dates; None where there is none for all of them."""
    templates = {_of_folders(file) for file in files}
    suffix = _common_suffix([file.name for file in files])
    only = next(iter(templates)) if len(templates) == 1 else None
    return f"{only}/*{suffix}" if only else None


def _of_folders(file: Path) -> str | None:
    folder = f"{file.parent}/"
    for pattern, fmt in (*_DATES, _IN_FOLDERS):
        if match := _last(pattern, folder):
            before, after = folder[: match.start()], folder[match.end() :].rstrip("/")
            return f"{_literal(before)}{{partition:{fmt}}}{_literal(after)}"
    return None


def relative_to(template: str, folder: Path) -> str | None:
    """An absolute template as one relative to a folder; None where it leads out of it."""
    prefix = f"{os.path.normpath(folder)}/"
    return template.removeprefix(prefix) if template.startswith(prefix) else None
