"""The child process that reads Parquet, Arrow, ORC and Avro files for `reader_process`. It imports what it needs.

Here: its limits, and the messages that it answers with. What is sent of rows is in `columns`.
"""

import resource
import signal
import socket
import sys
from contextlib import suppress
from io import FileIO
from pkgutil import resolve_name

import msgspec
import pyarrow as pa

from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.typed.columns import Rows
from sessions_platform.sources.formats.typed.reader_process import (
    COLUMNS,
    CORRUPT,
    DONE,
    HEAD,
    OUTAGE,
    READY,
    ROWS,
    STREAM,
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
                _send_rows(parent, rows)
                _limit_cpu(cpu_seconds)
        _send(parent, DONE)
    except CorruptDataError as corrupt:
        _send(parent, CORRUPT, str(corrupt).encode(errors="backslashreplace"))
    except MemoryError:
        most = resource.getrlimit(resource.RLIMIT_AS)[0]
        _send(parent, CORRUPT, f"a block of its rows takes more than {most >> 20} MiB of memory".encode())
    except OSError as outage:
        _send(parent, OUTAGE, msgspec.msgpack.encode([outage.errno, outage.strerror]))
    _limit_cpu(0)


def _send_rows(parent: socket.socket, rows: Rows) -> None:
    if isinstance(rows, list):
        _send(parent, ROWS, msgspec.msgpack.encode(rows))
        return
    _send(parent, COLUMNS, msgspec.msgpack.encode([rows.names, rows.as_json]))
    _send(parent, STREAM, rows.stream())


def _limit_cpu(cpu_seconds: float) -> None:
    """End this process by SIGPROF once it has used this much CPU time from now on; 0 for no limit."""
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)


def _send(parent: socket.socket, kind: bytes, body: bytes | pa.Buffer = b"") -> None:
    parent.sendall(HEAD.pack(kind, len(body)))
    parent.sendall(body)


if __name__ == "__main__":
    main(*sys.argv[1:])
