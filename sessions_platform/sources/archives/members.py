"""What an archive contains, as far as a stream reads it: the members whose names match a glob.

Here: names, limits, and what is passed over. How entries are found in the bytes is in `zip` and `tar`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from functools import cached_property

from sessions_platform.sources.formats.errors import CorruptDataError

# Below this size no member is taken for a bomb, however well it is packed.
NEVER_A_BOMB = 64 * 1024 * 1024
# How many members of an archive are reported one by one.
_MOST_REPORTED = 20
_DRIVE = re.compile(r"[A-Za-z]:")


class Kind(Enum):
    """What an entry is; `other` is a device, a pipe or an unknown type."""

    file = auto()
    folder = auto()
    link = auto()
    other = auto()


@dataclass(frozen=True, slots=True)
class Member:
    """One file in an archive.

    Attributes:
        name: as the archive has it; of a listing's members, without "./", and no two of them are equal.
        offset: of a zip's local header in the file; of a tar's content in the unpacked archive.
        size: of its content, in bytes.
        packed: how many bytes of the archive it takes.
        kind: what it is.
        refused: why its content can't be read; None where it may be.
        method, checksum, raw_name: of a zip's member, from the central directory.
    """

    name: str
    offset: int
    size: int
    packed: int
    kind: Kind = Kind.file
    refused: str | None = None
    method: int = 0
    checksum: int | None = None
    raw_name: bytes = b""


@dataclass(frozen=True)
class Limits:
    """How much is read of an archive, by the keys of a stream's source."""

    max_members: int
    max_unpacked: int
    max_ratio: int


@dataclass
class Listing:
    """What is in an archive.

    `passed_over` has a name and a reason for members that are not read; an empty name stands for the archive. `damage`
    says why the rest of the archive could not be listed; None where all of it was.
    """

    members: list[Member] = field(default_factory=list)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    damage: str | None = None

    @cached_property
    def by_name(self) -> dict[str, Member]:
        """The members, once all are there."""
        return {member.name: member for member in self.members}


def listing_of(entries: Iterator[Member], is_wanted: Callable[[str], bool], limits: Limits) -> Listing:
    """The members of an archive that are wanted, in its order, and what is passed over.

    Args:
        entries: all of the archive, in its order. May raise CorruptDataError, which ends the listing.
        is_wanted: whether the stream reads members of this name.
        limits: more members than these end the listing; one that is too large is refused.
    """
    listing = _Listing(is_wanted, limits)
    try:
        for entry in entries:
            listing.add(entry)
    except CorruptDataError as corrupt:
        listing.found.damage = str(corrupt)
    return listing.done()


class _Listing:
    def __init__(self, is_wanted: Callable[[str], bool], limits: Limits) -> None:
        self.found = Listing()
        self._is_wanted, self._limits = is_wanted, limits
        self._names: set[str] = set()
        self._entries = self._unmatched = self._unreported = self._unpacked = 0

    def add(self, entry: Member) -> None:
        if entry.kind is Kind.folder:
            return
        self._entries += 1
        if self._entries > self._limits.max_members:
            raise CorruptDataError(
                f"it has more than {self._limits.max_members} members. Fix: raise max_members, or deliver it in parts"
            )
        reason = _misnamed(entry.name) or _unfit(entry.kind)
        name = _plain(entry.name)
        if reason:
            self._pass_over(entry.name, reason)
        elif not self._is_wanted(name):
            self._unmatched += 1
        else:
            self.found.members.append(replace(entry, name=self._own(name), refused=self._refused(entry)))

    def done(self) -> Listing:
        if self._unmatched:
            self.found.passed_over.append(("", f"members that `archive` does not match: {self._unmatched}"))
        if self._unreported:
            self.found.passed_over.append(("", f"further members that can't be read: {self._unreported}"))
        return self.found

    def _pass_over(self, name: str, reason: str) -> None:
        if len(self.found.passed_over) < _MOST_REPORTED:
            self.found.passed_over.append((name, reason))
        else:
            self._unreported += 1

    def _own(self, name: str) -> str:
        """A name that no member before has: tar archives are extended by members of the same name."""
        own, number = name, 1
        while own in self._names:
            number += 1
            own = f"{name}#{number}"
        self._names.add(own)
        return own

    def _refused(self, entry: Member) -> str | None:
        if entry.refused:
            return entry.refused
        if entry.size > max(NEVER_A_BOMB, self._limits.max_ratio * entry.packed):
            return (
                f"it unpacks to {entry.size} bytes, more than {self._limits.max_ratio} times its {entry.packed}. "
                "Fix: raise max_ratio, or deliver the file itself"
            )
        self._unpacked += entry.size
        if self._unpacked > self._limits.max_unpacked:
            return f"with it the archive unpacks to more than max_unpacked, {self._limits.max_unpacked} bytes"
        return None


def _misnamed(name: str) -> str | None:
    """Why a name is no place within the archive; None where it is."""
    parts = re.split(r"[/\\]", name)
    if name.startswith(("/", "\\")) or _DRIVE.match(name) or ".." in parts:
        return "its name leads out of the archive"
    if not _plain(name):
        return "it has no name"
    if "\0" in name or any("\ud800" <= char <= "\udfff" for char in name):
        return "its name is not UTF-8"
    return None


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _unfit(kind: Kind) -> str | None:
    return {Kind.link: "a link, which is not followed", Kind.other: "neither a file nor a folder"}.get(kind)
