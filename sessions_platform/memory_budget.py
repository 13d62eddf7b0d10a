"""How much memory a run may take, and what that means for the rows that are in memory together.

Here: the default, from what the machine, its container or its control group has, and how a budget is divided. The
variable that sets it is read in ``settings``. Not here: which rows are worked on together (``engines``, ``pipeline``),
and how freed memory is returned (``storage.lake.memory``).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
# A run may hold this share of what there is, since the machine has a warehouse and other runs in memory, too.
_DEFAULT_SHARE = 4
# Rows that are worked on at once take 1.6 times their size, with what they are sorted by, and besides the parts of them
# that are computed and written meanwhile; where they are few, four times their size at most. Buckets, of which several
# are worked on concurrently, take forty times theirs. Measured with events of twelve columns.
_TIMES_AT_ONCE, _PARTS_BYTES, _TIMES_OF_FEW = 1.6, 300 * MIB, 4
_TIMES_OF_A_BUCKET = 40
# Less than this does not pay: the libraries alone take twelve times as much.
LEAST_BYTES = 16 * MIB

_CGROUPS, _OWN_CGROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


@dataclass(frozen=True)
class MemoryBudget:
    """How many bytes of rows are in memory together, as polars estimates their size.

    Attributes:
        at_once: rows of a partition up to this are worked on together, without a temporary file.
        bucket: larger partitions are divided into buckets of this size.
    """

    at_once: int
    bucket: int

    @classmethod
    def of(cls, size: int) -> "MemoryBudget":
        """The budget of a run that may take `size` bytes, besides what the libraries take."""
        beside_parts = int((size - _PARTS_BYTES) / _TIMES_AT_ONCE)
        return cls(max(size // _TIMES_OF_FEW, beside_parts), size // _TIMES_OF_A_BUCKET)

    @classmethod
    def default(cls) -> "MemoryBudget":
        """A quarter of the memory that there is."""
        return cls.of(max(LEAST_BYTES, available_bytes() // _DEFAULT_SHARE))


def available_bytes(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int:
    """The memory that this process can have: the machine's, or the least limit of the control groups that it is in.

    Args:
        cgroups: where the control groups are mounted.
        own: the file that names those of this process.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(cgroups, own)])


def _limits(cgroups: Path, own: Path) -> Iterator[int]:
    """The limits of all control groups of the process; Linux knows two versions, and some machines have both."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # another system than Linux
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from _of_groups(cgroups, group, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _of_groups(cgroups / "memory", group, "memory.limit_in_bytes")


def _of_groups(mount: Path, group: str, name: str) -> Iterator[int]:
    """The limits of a control group and of those around it.

    In a container the group may be named as outside of it, where it is mounted as the root. So what is not found is
    left out.
    """
    path = mount / group.lstrip("/")
    for folder in (path, *path.parents):
        if folder.is_relative_to(mount):
            yield from _limit(folder / name)


def _limit(file: Path) -> Iterator[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return
    if text.isdecimal():  # "max" is no limit
        yield int(text)
