"""What is freed goes back to the system soon.

Arrow's default pool and glibc keep freed blocks for later, glibc in an arena for each thread and the larger, the
larger the blocks were that it has seen. A run takes up and drops blocks of many megabytes, in several threads: what was
kept came to several times what was in use, and grew from one partition to the next. Some is kept: a run that gives
back and asks again for every megabyte spends a fifth of its time on that.
"""

import ctypes
import sys

import pyarrow as pa

# As malloc.h numbers them. A set threshold moves no longer: from it on a block is mapped and unmapped by itself.
_GLIBC = {"M_ARENA_MAX": (-8, 2), "M_MMAP_THRESHOLD": (-3, 16 << 20), "M_TRIM_THRESHOLD": (-1, 64 << 20)}


def keep_little() -> None:
    """For this process, from now on. Where the C library is no glibc only Arrow's part is done."""
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":
        if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
            for option, value in _GLIBC.values():
                mallopt(option, value)
