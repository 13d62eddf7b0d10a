"""Rules about the targets of a stream's file together: no two of them are one place.

They work on the file as YAML has read it, as those of `stream_checks` do, which calls them. Not here: the keys of one
target (`targets.py`), and two streams with one place, which a delivery refuses (`storage.warehouses.base`).
"""

import posixpath
from collections.abc import Iterator
from typing import Any

from sessions_platform.contracts.issues import Issue, Raw


def target_issues(targets: Raw) -> Iterator[Issue]:
    """Two targets of one place would remove each other's rows, and each would take the other's delivery for its own."""
    first = dict[str, str]()
    for name, target in targets.items():
        place = _place(target) if isinstance(target, dict) else None
        if place is None:
            continue
        if place in first:
            reason = f"it is the place of the target {first[place]}, too"
            yield Issue(("targets", str(name)), reason, "name another place, or list all tables in one of the two")
        first.setdefault(place, str(name))


def _place(target: dict[str, Any]) -> str | None:
    """What tells places apart, as it is spelled; None where the models report what is wrong with it."""
    path = target.get("path")
    if isinstance(path, str) and path:
        return posixpath.normpath(path)
    if url := target.get("url"):
        return repr((url, target.get("database"), target.get("prefix", "")))
    if account := target.get("account"):
        return repr((account, target.get("database"), target.get("schema"), target.get("prefix", "")))
    host, database = target.get("host"), target.get("database")
    if host and database:
        return repr((host, target.get("port", 3306), database, target.get("prefix", "")))
    return None
