"""How this process returns freed memory to the operating system.

By default Arrow's memory pool and glibc keep freed blocks for reuse; glibc does so in an arena for each thread, and it
keeps more, the larger the blocks were. A run allocates and frees blocks of many megabytes in several threads: without
these settings several times as much was kept as was in use, and more after each partition. A part is still kept,
because a run that returns and requests every megabyte spends a fifth of its time on that.
"""

import ctypes
import os
import sys
from functools import cache

# Options of mallopt(3), numbered as in malloc.h, with their values. Setting a threshold also stops glibc from raising
# it automatically: from then on every block of 16 MiB or more is mapped and unmapped on its own.
_GLIBC_OPTIONS = {"M_ARENA_MAX": (-8, 2), "M_MMAP_THRESHOLD": (-3, 16 << 20), "M_TRIM_THRESHOLD": (-1, 64 << 20)}


@cache
def return_freed_memory() -> None:
    """Apply the settings to this process; further calls do nothing. Without glibc only Arrow's pool is set."""
    if arrow := sys.modules.get("pyarrow"):
        arrow.set_memory_pool(arrow.system_memory_pool())
    else:  # it is imported with the first file, and reads this then
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux":
        if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
            for option, value in _GLIBC_OPTIONS.values():
                mallopt(option, value)
