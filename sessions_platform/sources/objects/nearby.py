"""What lies near landing objects that a pattern does not find: the deepest prefix of it that has any, and their names.

Here belongs one sentence for people. Not here: the search for landing objects (`source`).
"""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sessions_platform.sources.files.nearby import names_shown
from sessions_platform.sources.objects.listing import listed

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_MOST_LOOKED_AT = 1_000  # keys, as many as one page has


def what_is_near(store: "ObjectStore", root: str, prefix: str) -> str:
    """A clause on the deepest part of a prefix below which there are objects.

    Args:
        store: the bucket.
        root: its uri.
        prefix: of whole names.
    """
    while True:
        keys = [Path(each.key) for each in islice(listed(store, prefix, is_flat=False), _MOST_LOOKED_AT)]
        if keys:
            return f"{root}/{prefix} {names_shown(keys, [Path(prefix)], _MOST_LOOKED_AT)}"
        if not prefix:
            return f"{root} is empty"
        prefix = prefix.rpartition("/")[0]
