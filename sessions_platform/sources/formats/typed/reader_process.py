"""The parent's side of reading Parquet in a child process, which a broken file may crash.

A broken or hostile file can crash the library that reads it, or make it take all memory or time. Here that ends the
child only, and the file is corrupt like any other that can't be read. The child is started for the first file (half a
second), reads one after the other, and is started again after a crash. It ends with its parent, whose end of the socket
then closes. The child's side is `worker`; what it does with a file is in
`parquet`, `arrow_and_orc` and `sources.formats.avro`.
"""

import fcntl
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from io import FileIO
from struct import Struct
from typing import NamedTuple

import msgspec

from sessions_platform.interrupts import for_this_process_alone
from sessions_platform.sources.formats.errors import CorruptDataError

MEMORY_BYTES = 2 * 1024**3
CPU_SECONDS = 120.0  # for one block of rows

# In both directions a message is its kind and its length, then its body.
HEAD = Struct("<cQ")
READ, NEXT, READY, ROWS, DONE, CORRUPT, OUTAGE = b"R", b"N", b"+", b"r", b".", b"u", b"!"
COLUMNS = b"c"

# What pyarrow imports where it is there, and does without: half of the child's start.
_PROGRAM = """
import sys
sys.modules.update(dict.fromkeys(["numpy", "pyarrow._s3fs", "pyarrow._gcsfs", "pyarrow._azurefs"]))
from sessions_platform.sources.formats.typed.worker import main
main(*sys.argv[1:])
"""
# One thread, and no memory reserved in advance: the limit counts what is reserved too.
_FRUGAL = {"MALLOC_ARENA_MAX": "2", "ARROW_DEFAULT_MEMORY_POOL": "system"}


class SentColumns(NamedTuple):
    """The columns of a block of rows, as the child sends them.

    Attributes:
        names: of the columns, distinct.
        as_json: whether each column has the JSON of its values (text), and not these themselves.
        stream: the columns, in this order, as an Arrow IPC stream of one batch; bytes or memory of a file.
    """

    names: list[str]
    as_json: list[bool]
    stream: bytes | mmap.mmap


class ParquetProcess:
    """Reads one file at a time, of Parquet, Arrow, ORC or Avro; further threads wait for their turn."""

    def __init__(
        self, memory_bytes: int = MEMORY_BYTES, cpu_seconds: float = CPU_SECONDS, file_format: str = "parquet"
    ) -> None:
        self._limits, self._file_format = (memory_bytes, cpu_seconds), file_format
        self._one_at_a_time = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._close = lambda: None

    def rows(self, handle: FileIO, block_bytes: int, block_rows: int) -> Iterator[list[bytes] | SentColumns]:
        """The rows of an open file, in blocks: each row as canonical JSON, or all of them as columns.

        Args:
            handle: open for reading; the child gets a descriptor of its own.
            block_bytes: about how large a block of rows is in the file, decompressed.
            block_rows: how many rows a block has at most.

        Raises:
            CorruptDataError: the rest of the file is not Parquet, or ends the child.
            OSError: an outage: the file is not available.
            RuntimeError: no child can be started.
        """
        with self._one_at_a_time:
            idle = False
            try:
                yield from self._rows(handle, block_bytes, block_rows)
                idle = True
            except CorruptDataError:
                idle = self._child is not None
                raise
            finally:
                if not idle:
                    self.close()

    def start(self) -> None:
        """Start the child where there is none, and do not wait for it: what is done meanwhile takes no time."""
        if self._one_at_a_time.acquire(blocking=False):
            try:
                self._start()
            finally:
                self._one_at_a_time.release()

    def close(self) -> None:
        """End the child, if there is one."""
        self._close()
        self._child = None

    def _rows(self, handle: FileIO, block_bytes: int, block_rows: int) -> Iterator[list[bytes] | SentColumns]:
        self._start()
        self._wait_until_ready()
        order = msgspec.msgpack.encode([self._file_format, block_bytes, block_rows])
        socket.send_fds(self._socket, [HEAD.pack(READ, len(order)) + order], [handle.fileno()])
        while True:
            kind, body, file = self._answer()
            if kind == ROWS:
                yield msgspec.msgpack.decode(body, type=list[bytes])
            elif kind == COLUMNS:
                names, as_json = msgspec.msgpack.decode(body)
                assert file is not None
                yield SentColumns(names, as_json, _mapped(file))
            elif kind == CORRUPT:
                raise CorruptDataError(body.decode())
            elif kind == OUTAGE:
                raise OSError(*msgspec.msgpack.decode(body))
            else:
                return

    def _answer(self) -> tuple[bytes, bytearray, int | None]:
        try:
            self._socket.sendall(NEXT)
            return receive(self._socket)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            raise CorruptDataError(self._reason_of_death()) from None

    def _start(self) -> None:
        """Start a child where none is running."""
        if self._child is not None and self._child.poll() is None:
            return
        self.close()
        self._socket, child_end = socket.socketpair()
        command = [sys.executable, "-P", "-c", _PROGRAM]
        with child_end:
            arguments = [str(child_end.fileno()), *map(str, self._limits)]
            environment = {**os.environ, **_FRUGAL}
            with for_this_process_alone():
                self._child = subprocess.Popen([*command, *arguments], pass_fds=[child_end.fileno()], env=environment)
        self._close = weakref.finalize(self, _end_child, self._child, self._socket)
        self._is_ready = False

    def _wait_until_ready(self) -> None:
        """Raises RuntimeError where the child ended before it was."""
        try:
            self._is_ready = self._is_ready or receive(self._socket)[0] == READY
        except (EOFError, ConnectionResetError):
            self.close()
            raise RuntimeError("the process that reads Parquet files does not start; its error is above") from None

    def _reason_of_death(self) -> str:
        """Why the child ended."""
        assert self._child is not None
        code = self._child.wait()
        self.close()
        if code == -signal.SIGPROF:
            return f"a block of its rows takes more than {self._limits[1]:g} seconds of computing"
        died = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"it crashes the process that reads it ({died})"


def receive(connection: socket.socket) -> tuple[bytes, bytearray, int | None]:
    """One message: its kind, body, and a descriptor that came with it. Raises EOFError where the other side is gone."""
    head, descriptors, _, _ = socket.recv_fds(connection, HEAD.size, 1)
    kind, length = HEAD.unpack(head + receive_exactly(connection, HEAD.size - len(head)))
    return kind, receive_exactly(connection, length), next(iter(descriptors), None)


def receive_exactly(connection: socket.socket, length: int) -> bytearray:
    """The next `length` bytes. Raises EOFError where the other side is gone."""
    received = bytearray(length)
    view = memoryview(received)
    while view:
        count = connection.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return received


def _mapped(descriptor: int) -> mmap.mmap:
    """The memory of a file that nobody can change any more; its descriptor is closed."""
    with open(descriptor, "rb", buffering=0) as file:
        if hasattr(os, "memfd_create"):
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK)
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)


def _end_child(child: subprocess.Popen[bytes], connection: socket.socket) -> None:
    connection.close()
    child.kill()
    child.wait()
