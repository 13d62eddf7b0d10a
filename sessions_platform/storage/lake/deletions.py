"""Many objects deleted by few requests, and those that stay told by name.

A store deletes a list of objects in one request, and answers for each; the library passes on the first refusal alone,
which names one object perhaps. So where a list is refused, each of its objects is deleted by itself: to delete one that
is gone already is no error. Not here: how one object is deleted (`object_store.py`).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sessions_platform.storage.lake.errors import LakeRefusedError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# As many as S3 takes in one request; Azure takes 256, and the library divides the list.
_AT_ONCE = 1000
_MOST_NAMED = 10


def delete_all(store: "ObjectStore", keys: Sequence[str], delete: Callable[[str], None]) -> None:
    """Delete objects, those that are there.

    Args:
        store: the bucket.
        keys: of the objects.
        delete: deletes one, and tries again what may pass.

    Raises:
        LakeRefusedError: some were refused, which it names; all others are deleted.
        LakeUnavailableError: the store does not answer.
    """
    refused: dict[str, LakeRefusedError] = {}
    for start in range(0, len(keys), _AT_ONCE):
        for key in _not_at_once(store, keys[start : start + _AT_ONCE]):
            try:
                delete(key)
            except LakeRefusedError as error:
                refused[key] = error
    if refused:
        first, *others = refused
        raise type(refused[first])(f"{refused[first]}{_and(others)}") from None


def _not_at_once(store: "ObjectStore", keys: Sequence[str]) -> Sequence[str]:
    """Delete a list of objects; all of them where the store has refused any, or knows no such request."""
    from obstore.exceptions import BaseError

    if len(keys) == 1:
        return keys
    try:
        store.delete(list(keys))
    except (BaseError, FileNotFoundError):
        return keys
    return ()


def _and(others: Sequence[str]) -> str:
    if not others:
        return ""
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    return f" Nor could be deleted: {', '.join(others[:_MOST_NAMED])}{more}."
