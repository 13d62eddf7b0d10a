"""Rules that relate the keys of a timestamp column: formats that can't be reached, and a timezone without effect.

Not here: whether one format can be read by (``polars_syntax``).
"""

from collections.abc import Iterator
from itertools import pairwise

from sessions_platform.contracts.issues import Issue, KeyPath, Raw
from sessions_platform.contracts.timestamps import EPOCHS


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
    if column.get("timezone") not in (None, "UTC") and epochs and len(epochs) == len(formats) and not is_typed:
        reason = "it has no effect, because epochs are in UTC"
        yield Issue((*key_path, "timezone"), reason, "remove it, or add the format of local times")
