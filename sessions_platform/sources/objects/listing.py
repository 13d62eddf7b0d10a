"""Lists the objects of a bucket below a prefix.

Here: pages, prefixes, and what a listing shows that is no object. Not here: which objects belong to the stream
(`source`).

Prefixes of the library end at a `/`: it finds nothing below half a name. So a prefix is always one of whole names.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class Listed(NamedTuple):
    """An object as it is listed: its key, what changes whenever it is written, its bytes, and when it was written."""

    key: str
    version: str
    size: int
    written_at: datetime


def listed(store: "ObjectStore", prefix: str, *, is_flat: bool) -> Iterator[Listed]:
    """The objects below a prefix, however many; of a flat one those that are right below it.

    Args:
        store: the bucket.
        prefix: of whole names, without a slash at its end; "" for the bucket.
        is_flat: whether only names without a further `/` are wanted; the server then leaves out all others.
    """
    if is_flat:
        pages = iter([store.list_with_delimiter(prefix or None)["objects"]])
    else:
        pages = iter(store.list(prefix or None))
    for page in pages:
        for meta in page:
            yield Listed(meta["path"], version_of(meta), meta["size"], meta["last_modified"])


def folders(store: "ObjectStore", prefix: str) -> list[str]:
    """The prefixes right below a prefix, as paths."""
    return sorted(store.list_with_delimiter(prefix or None)["common_prefixes"])


def version_in(fingerprint: str) -> str:
    """The version with which the fingerprint of a slice begins."""
    return fingerprint.partition(":")[0]


def size_in(version: str) -> int:
    """The size that a version says, in bytes; 0 where it says none."""
    size = version.partition("-")[0]
    return int(size) if size.isdecimal() else 0


def version_of(meta: Any) -> str:
    """What changes whenever an object is written: its size and etag; without an etag, the time of its writing."""
    tag = (meta["e_tag"] or meta["last_modified"].isoformat()).removeprefix("W/").strip('"')
    return f"{meta['size']}-{tag.replace(':', '.')}"  # a colon ends this part of a fingerprint
