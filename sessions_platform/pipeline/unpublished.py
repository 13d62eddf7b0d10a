"""What a run that fails has written and not published: its lake files are removed.

Here: files that were written before the failure. Not here: those of a process that was killed, which housekeeping
removes (`operations.clean_up`), and raw files, which are recorded as soon as they are written.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.postgres.errors import UnreachableError

_RAW = "/raw_events/"


@contextmanager
def removing_unpublished(context: StreamContext) -> Iterator[None]:
    """Remove what was written of events, rejected rows and sessionized events, where an error ends the block.

    The ledger is asked, since a transaction may have been committed although its connection was lost. Files that any
    version of the retention needs stay; if the ledger can't be asked, all of them do, until they are cleaned up.
    """
    with context.lake.recording() as written:
        try:
            yield
        except BaseException:
            with suppress(UnreachableError, psycopg.Error, OSError):
                _remove(context, written)
            raise


def _remove(context: StreamContext, written: list[str]) -> None:
    candidates = [path for path in written if _RAW not in f"/{path}"]
    if candidates:
        needed, _, _ = context.ledger.needed_files(context.stream.retention.superseded_files)
        context.lake.remove_all([path for path in candidates if path not in needed])
