"""A load that waits in the middle, with rows copied and the transaction open, until it is killed.

Run as: python -m sessions_platform_tests.orchestration.slow_load STREAM PARTITION. It says `loading`.
"""

import sys
import threading

from sessions_platform.pipeline.context import open_contexts
from sessions_platform.pipeline.load import load_sessions
from sessions_platform.settings import Settings
from sessions_platform.storage.warehouses.postgres.loader import Warehouse

_load = Warehouse.load_sessions


def load_and_wait(self: Warehouse, *args):
    loaded = _load(self, *args)
    sys.stdout.write("loading\n")
    sys.stdout.flush()
    threading.Event().wait()
    return loaded


if __name__ == "__main__":
    setattr(Warehouse, "load_sessions", load_and_wait)  # noqa: B010
    (stream_context,) = open_contexts(Settings.from_environment(), [sys.argv[1]])
    load_sessions(stream_context, stream_context.sessionized_events([sys.argv[2]]), "killed")
