"""What is freed goes back to the system at once.

Arrow's default pool and glibc's many arenas keep freed blocks for later. A run takes up and drops blocks of
many megabytes, in several threads, so that they came to hold twice what is in use.
"""

import ctypes
import sys

import pyarrow as pa

_M_ARENA_MAX = -8  # as malloc.h has it
_ARENAS = 2


def keep_little() -> None:
    """For this process, from now on. Where the C library is no glibc only Arrow's part is done."""
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt:
            mallopt(_M_ARENA_MAX, _ARENAS)
