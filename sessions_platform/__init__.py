"""Events to sessions that a company can trust."""

import os

# Polars reads it when it is imported. Each of a run's threads would keep what it freed in an arena of its own.
os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:2,dirty_decay_ms:2000,muzzy_decay_ms:0")
