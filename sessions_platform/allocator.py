"""The options of polars' memory allocator, jemalloc.

They only have an effect if they are set before polars is imported. So each entry point (``cli.main``,
``definitions.platform``, the tests' ``conftest``) calls ``configure_allocator`` first, and this module, like the
package itself, imports nothing. Not here: glibc's and Arrow's allocators (``storage.lake.memory``).
"""

import os

VARIABLE = "_RJEM_MALLOC_CONF"

# With an arena for each thread, every thread of a run would keep the memory that it freed.
OPTIONS = "narenas:2,dirty_decay_ms:2000,muzzy_decay_ms:0"


def configure_allocator() -> None:
    """Set jemalloc's options for this process and its children, unless the user has set them."""
    os.environ.setdefault(VARIABLE, OPTIONS)
