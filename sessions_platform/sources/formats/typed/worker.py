"""The child process that reads Parquet, Arrow, ORC and Avro files for `reader_process`. It imports what it needs.

Here: its limits, and the messages that it answers with. What is sent of rows is in `columns`.
"""

import os
import resource
import signal
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from pkgutil import resolve_name
from typing import Any

import msgspec
import pyarrow as pa

from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.typed.columns import Rows
from sessions_platform.sources.formats.typed.reader_process import (
    COLUMNS,
    CORRUPT,
    DONE,
    HEAD,
    NEXT,
    OUTAGE,
    READY,
    ROWS,
    receive_exactly,
)

# Import strings, each resolved when the first file of its format is read.
_IN = "sessions_platform.sources.formats"
_READERS = {
    "parquet": f"{_IN}.typed.parquet:parquet_rows",
    "arrow": f"{_IN}.typed.arrow_and_orc:arrow_rows",
    "orc": f"{_IN}.typed.arrow_and_orc:orc_rows",
    "avro": f"{_IN}.avro.rows:avro_rows",
}


def main(descriptor: str, memory_bytes: str, cpu_seconds: str) -> None:
    """Read files for the parent until it ends.

    Args:
        descriptor: of the socket to the parent.
        memory_bytes: how much address space this process may have.
        cpu_seconds: how long it may compute for one block of rows.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent; this ends with it
    _limit_memory(int(memory_bytes))
    pa.set_cpu_count(1)
    with socket.socket(fileno=int(descriptor)) as parent, suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _send(parent, READY)
        while True:
            _serve(parent, float(cpu_seconds))


def _limit_memory(most: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with suppress(ValueError, OSError):  # where the system has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _serve(parent: socket.socket, cpu_seconds: float) -> None:
    """Read one file, whose descriptor comes with the order, and answer with its rows and how it ended."""
    head, descriptors, _, _ = socket.recv_fds(parent, HEAD.size, 1)
    if not head:
        raise EOFError
    _, length = HEAD.unpack(head)
    file_format, block_bytes, block_rows = msgspec.msgpack.decode(receive_exactly(parent, length))
    try:
        with FileIO(descriptors[0]) as file:
            _limit_cpu(cpu_seconds)
            for rows in resolve_name(_READERS[file_format])(file, block_bytes, block_rows):
                _answer_with_rows(parent, rows)
                _limit_cpu(cpu_seconds)
        _answer(parent, DONE)
    except CorruptDataError as corrupt:
        _answer(parent, CORRUPT, str(corrupt).encode(errors="backslashreplace"))
    except MemoryError:
        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        _answer(parent, CORRUPT, f"a block of its rows takes more than {most >> 20} MiB of memory".encode())
    except OSError as outage:
        _answer(parent, OUTAGE, msgspec.msgpack.encode([outage.errno, outage.strerror]))
    _limit_cpu(0)


def _answer_with_rows(parent: socket.socket, rows: Rows) -> None:
    """Send a block; its columns as a file in memory, so that they are not copied again."""
    if isinstance(rows, list):
        _answer(parent, ROWS, msgspec.msgpack.encode(rows))
        return
    with _memory_file() as file:
        rows.write_to(file)
        _answer(parent, COLUMNS, msgspec.msgpack.encode([rows.names, rows.as_json]), [file.fileno()])


def _memory_file() -> Any:
    """A file without a name, which may be sealed; of a temporary folder where the system has none in memory."""
    if hasattr(os, "memfd_create"):
        return FileIO(os.memfd_create("rows", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w")
    return tempfile.TemporaryFile(buffering=0)


def _answer(parent: socket.socket, kind: bytes, body: bytes = b"", descriptors: Sequence[int] = ()) -> None:
    """Send a message once the parent asks for it: of columns, nothing else would wait for it to take them."""
    receive_exactly(parent, len(NEXT))
    _send(parent, kind, body, descriptors)


def _limit_cpu(cpu_seconds: float) -> None:
    """End this process by SIGPROF once it has used this much CPU time from now on; 0 for no limit."""
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


def _send(parent: socket.socket, kind: bytes, body: bytes = b"", descriptors: Sequence[int] = ()) -> None:
    head = HEAD.pack(kind, len(body))
    sent = socket.send_fds(parent, [head], descriptors)
    parent.sendall(head[sent:] + body)
