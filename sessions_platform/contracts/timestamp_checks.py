"""Rules that relate the keys of a timestamp column: formats that can't be reached, and a timezone without effect.

Not here: whether one format can be read by (``polars_syntax``).
"""

from collections.abc import Iterator
from itertools import pairwise

from sessions_platform.contracts.issues import Issue, KeyPath, Raw, mapping
from sessions_platform.contracts.polars_syntax import group_count, pattern_problem
from sessions_platform.contracts.timestamps import EPOCHS, is_in_utc


def file_name_issues(key_path: KeyPath, kind: str | None, column: Raw) -> Iterator[Issue]:
    """Issues of what a column of this type reads from the file's path."""
    pattern, key_path = column.get("from_file_name"), (*key_path, "from_file_name")
    if pattern is None or kind is None:
        return
    if kind != "timestamp":
        yield Issue(key_path, f"only a timestamp is read from the file's name, this is {kind}", "remove it")
    elif isinstance(pattern, str) and not pattern_problem(pattern) and not group_count(pattern):
        yield Issue(key_path, "it has no group", r"put the date into one, as in access-(\d{8})")


def minus_issues(key_path: KeyPath, kind: str | None, column: Raw, columns: Raw) -> Iterator[Issue]:
    """Issues of what is subtracted from a column of this type."""
    minus = column.get("minus")
    if minus is None or kind is None:
        return
    if kind != "timestamp":
        yield Issue((*key_path, "minus"), f"only of a timestamp a duration is subtracted, this is {kind}", "remove it")
    name = minus.get("column") if isinstance(minus, dict) else None
    if isinstance(name, str) and name not in columns:
        reason = f"there is no column {name!r}"
        yield Issue((*key_path, "minus", "column"), reason, f"name one of {', '.join(map(str, columns))}")
    elif isinstance(name, str):
        stated = mapping(columns, name).get("type", "timestamp" if name == "event_timestamp" else "string")
        if stated in ("timestamp", "boolean"):
            fix = "name a column of type string, integer or float"
            yield Issue((*key_path, "minus", "column"), f"{name} is no duration, but a {stated}", fix)


def timestamp_issues(key_path: KeyPath, column: Raw, *, is_typed: bool) -> Iterator[Issue]:
    """Issues of a timestamp column.

    Args:
        key_path: of the column.
        column: its keys as YAML has read them.
        is_typed: whether files have timestamps of their own, which are read by further formats.
    """
    formats = column.get("formats")
    if formats is None and not is_typed:
        yield Issue(key_path, "its formats are not named", 'add formats, as in formats: ["%+", epoch_ms]')
    if not isinstance(formats, list) or not all(isinstance(fmt, str) for fmt in formats):
        return
    epochs = [fmt for fmt in formats if fmt in EPOCHS]
    for before, after in pairwise(epochs):
        if EPOCHS[before] < EPOCHS[after]:
            reason = f"{before} reads the numbers of {after}, too, as moments of January 1970"
            yield Issue((*key_path, "formats"), reason, f"write {after} before {before}")
        elif EPOCHS[before] == EPOCHS[after]:
            yield Issue((*key_path, "formats"), f"{before} reads all that {after} would read", "keep one of the two")
    if column.get("timezone") not in (None, "UTC") and formats and all(map(is_in_utc, formats)) and not is_typed:
        reason = "it has no effect, because epochs are in UTC"
        yield Issue((*key_path, "timezone"), reason, "remove it, or add the format of local times")
