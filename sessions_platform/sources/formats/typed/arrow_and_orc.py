"""The rows of Arrow and ORC files. Runs in the child process only (`worker`).

Here: how such a file is read as a whole, with what their libraries pass over in silence. What is sent of a batch is in
`columns`, and how values become JSON is in `rows`.
"""

from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa
from pyarrow import orc

from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.typed.columns import Rows, blocks
from sessions_platform.sources.formats.typed.rows import corrupt_unless_outage

_MAGIC_OF_A_FILE = b"ARROW1"
# Ends a stream (Arrow columnar format, "IPC Streaming Format"). Readers take a stream that is cut before it for whole.
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def arrow_rows(handle: BinaryIO, block_bytes: int, block_rows: int) -> Iterator[Rows]:
    """The rows of Arrow IPC: of a file, or of the streams that follow one another; arguments as of `parquet_rows`.

    Raises:
        CorruptDataError: a stream has no end, or is followed by other bytes; the rows before were returned.
        MemoryError: a batch takes more than the process may have.
        OSError: an outage.
    """
    with corrupt_unless_outage("Arrow"):
        is_file = handle.read(len(_MAGIC_OF_A_FILE)) == _MAGIC_OF_A_FILE
        size = handle.seek(0, 2)
        handle.seek(0)
        for batch in _batches_of_file(handle) if is_file else _batches_of_streams(handle, size):
            batch.validate(full=True)  # else offsets of a broken file lead out of its memory
            yield from blocks(batch, batch.schema.types, block_bytes, block_rows)


def _batches_of_file(handle: BinaryIO) -> Iterator[pa.RecordBatch]:
    file = pa.ipc.open_file(handle)
    yield from map(file.get_batch, range(file.num_record_batches))


def _batches_of_streams(handle: BinaryIO, size: int) -> Iterator[pa.RecordBatch]:
    """The batches of every stream: pyarrow reads the first alone, and asks for no end."""
    while True:
        yield from pa.ipc.open_stream(handle)
        end = handle.tell()
        handle.seek(max(0, end - len(_END_OF_STREAM)))
        if handle.read(len(_END_OF_STREAM)) != _END_OF_STREAM:
            raise CorruptDataError("the stream has no end: the file is truncated")
        if end == size:
            return


def orc_rows(handle: BinaryIO, block_bytes: int, block_rows: int) -> Iterator[Rows]:
    """The rows of an ORC file; arguments and errors as of `arrow_rows`.

    A `timestamp` is a local time, that of its writer's zone, which the file does not reliably say; a `timestamp with
    local time zone` is an instant. A column with a time before 1677 or after 2262 can't be read by pyarrow.
    """
    with corrupt_unless_outage("ORC"):
        file = orc.ORCFile(handle)
        for stripe in range(file.nstripes):
            batch = file.read_stripe(stripe)
            yield from blocks(batch, batch.schema.types, block_bytes, block_rows)
