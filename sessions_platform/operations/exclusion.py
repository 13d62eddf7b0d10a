"""One remaking of a stream at a time: a rebuild, a repair and an erasure exclude each other.

Not here: the stream's lock, by which all writers take turns at their commits (`storage/ledger/stream_ledger.py`).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext


@contextmanager
def remaking(context: StreamContext) -> Iterator[None]:
    """Remake the stream until the block ends, and no other process meanwhile.

    Raises:
        UserError: another process remakes it.
    """
    name = context.stream.name
    with context.database.alone(f"sessions_platform/{name}/rebuild") as is_alone:
        if not is_alone:
            raise UserError(
                f"{name}: it is being rebuilt already, or repaired, or users are being erased. "
                "Fix: wait until that has ended."
            )
        yield
