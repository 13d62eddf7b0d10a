"""Checksums of a Parquet file, by which a reader notices each byte that is not the one that was written.

Here: how they are made, where they are stored and how bytes are compared with them. Not here: which bytes a query needs
(`lake.py`), and what is done about a damaged file (`operations/repair.py`).

A file is divided into extents, each from the start of a column chunk to that of the next. The CRC-32 of each is in a
block between the last of them and Parquet's footer, where every other reader of Parquet ignores it. The CRC-32 of that
block and the footer is in the file's name, and names are what the ledger records. So whoever reads two columns of three
row groups compares just these, and still knows that they belong to the file that the ledger means.

::

    PAR1 | column chunks … | ends, checksums, count, "SPC1" | Parquet's footer | its length, PAR1
         '---- extents ----'----------------- tail: its checksum is in the name ----------------'

CRC-32 notices any change within 32 neighbouring bits, and any other with a probability of 1 - 2**-32. ISA-L computes it
by several gigabytes in a second.
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from isal import isal_zlib

from sessions_platform.storage.lake.errors import ChecksumError

# Reads at most `length` bytes from `offset` on.
Read = Callable[[int, int], bytes]
Range = tuple[int, int]

_MAGIC = b"SPC1"
_COUNT = struct.Struct("<I4s")
_FOOTER_END = struct.Struct("<I4s")  # the footer's length, and Parquet's own magic bytes
_END, _CRC = np.dtype("<u8"), np.dtype("<u4")
_READ_BYTES = 1 << 20
# A file's end is read at once; most have their tail in it.
_END_BYTES = 64 << 10


def seal(draft: Path) -> str:
    """Add the checksums to a Parquet file that is complete and has no name yet.

    Returns:
        The checksum for its name: eight hexadecimal digits.
    """
    with draft.open("r+b", buffering=0) as file:
        read, size = _reader(file.fileno()), file.seek(0, os.SEEK_END)
        data_end = size - _footer_bytes(size, read)
        ends = _ends(pq.read_metadata(draft), data_end)
        crcs = _crcs(read, ends, range(len(ends)))
        file.seek(data_end)
        block = ends.tobytes() + crcs.tobytes() + _COUNT.pack(len(ends), _MAGIC)
        tail = block + file.read(size - data_end)
        file.seek(data_end)
        file.write(tail)
    return f"{isal_zlib.crc32(tail):08x}"


def column_chunks(footer: pq.FileMetaData, row_groups: Iterable[int], columns: Iterable[str] | None) -> list[Range]:
    """The byte ranges, start included and end excluded, of these columns in these row groups; None for all columns.

    A nested column is named by its top level.
    """
    wanted = None if columns is None else set(columns)
    paths = [footer.schema.column(place).path for place in range(footer.num_columns)]
    places = [place for place, path in enumerate(paths) if wanted is None or wanted.intersection(_prefixes(path))]
    return [_chunk(footer.row_group(group).column(place)) for group in row_groups for place in places]


class Checksums:
    """The checksums of one file, and which of its bytes were compared with them already.

    Args:
        checksum: the one in the file's name.
        size: of the file, in bytes.
        read: reads the file.

    Raises:
        ChecksumError: the tail is not the one that was written, or the file is too short to have one.
    """

    def __init__(self, checksum: str, size: int, read: Read) -> None:
        self._read, read = read, _reader_of_end(size, read)
        tail = _tail(checksum, size, read)
        footer_bytes = _footer_bytes(size, read)
        count, _ = _COUNT.unpack_from(tail, len(tail) - footer_bytes - _COUNT.size)
        self._ends = np.frombuffer(tail, _END, count)
        self._crcs = np.frombuffer(tail, _CRC, count, count * _END.itemsize)
        self._unchecked = np.ones(count, bool)

    @property
    def is_complete(self) -> bool:
        """Whether all bytes were compared."""
        return not self._unchecked.any()

    def trust(self) -> None:
        """Take all bytes as compared: this process has just written them."""
        self._unchecked[:] = False

    def unchecked(self, ranges: Iterable[Range]) -> list[Range]:
        """The extents with a byte in these ranges that were not compared yet, ascending; neighbours as one range."""
        joined: list[Range] = []
        for start, end in (_extent(self._ends, place) for place in self._places(ranges)):
            is_next = joined and joined[-1][1] == start
            joined.append((joined.pop()[0] if is_next else start, end))
        return joined

    def check(self, ranges: Iterable[Range] | None = None, read: Read | None = None) -> None:
        """Compare all extents with a byte in these ranges, by default all, and the first bytes; each is compared once.

        Args:
            ranges: of the file.
            read: reads them, where that is not what the checksums were read by.

        Raises:
            ChecksumError: a byte is not the one that was written.
        """
        places = self._places(ranges)
        differing = places[_crcs(read or self._read, self._ends, places) != self._crcs[places]]
        if differing.size:
            start, end = _extent(self._ends, differing[0])
            raise ChecksumError(f"bytes {start} to {end} are not those that were written")
        self._unchecked[places] = False

    def _places(self, ranges: Iterable[Range] | None) -> np.ndarray:
        wanted = np.zeros_like(self._unchecked) if ranges is not None else self._unchecked.copy()
        wanted[:1] = True  # Parquet's magic bytes
        for start, end in ranges or ():
            first = np.searchsorted(self._ends, start, "right")
            wanted[first : np.searchsorted(self._ends, end, "left") + 1] = True
        return np.flatnonzero(wanted & self._unchecked)


def _tail(checksum: str, size: int, read: Read) -> bytes:
    """Block, footer and end of the file. Lengths are believed as far as they are possible, until all is compared."""
    length = _footer_bytes(size, read) + _COUNT.size
    if length <= size:
        count, _ = _unpacked(_COUNT, read(size - length, _COUNT.size))
        length += count * (_END.itemsize + _CRC.itemsize)
        if length <= size and f"{isal_zlib.crc32(tail := read(size - length, length)):08x}" == checksum:
            return tail
    raise ChecksumError("its end is not the one that was written")


def _reader_of_end(size: int, read: Read) -> Read:
    """Reads a file whose last bytes are kept, since each read of a file in an object store is a request."""
    start = max(0, size - _END_BYTES)
    end = read(start, size - start)
    return lambda offset, length: end[offset - start :][:length] if offset >= start else read(offset, length)


def _footer_bytes(size: int, read: Read) -> int:
    """The length of Parquet's footer with what follows it."""
    end = read(max(0, size - _FOOTER_END.size), _FOOTER_END.size)
    return _FOOTER_END.size + _unpacked(_FOOTER_END, end)[0]


def _unpacked(form: struct.Struct, content: bytes) -> tuple[int, bytes]:
    """A number and magic bytes; of a file that is too short, a number that no file has room for."""
    return form.unpack(content) if len(content) == form.size else (1 << 62, b"")


def _ends(footer: pq.FileMetaData, data_end: int) -> np.ndarray:
    """Where each extent ends, ascending: at the start of each column chunk, and before the footer."""
    starts = {start for start, _ in column_chunks(footer, range(footer.num_row_groups), None)}
    return np.array([*sorted(starts), data_end], _END)


def _chunk(column: pq.ColumnChunkMetaData) -> Range:
    starts = [column.data_page_offset, column.dictionary_page_offset]
    start = min(offset for offset in starts if offset)
    return start, start + column.total_compressed_size


def _prefixes(path: str) -> Iterator[str]:
    """A nested column's own path and those of what contains it; a name may contain dots."""
    return accumulate(path.split("."), lambda outer, inner: f"{outer}.{inner}")


def _extent(ends: np.ndarray, place: int) -> Range:
    return int(ends[place - 1]) if place else 0, int(ends[place])


def _crcs(read: Read, ends: np.ndarray, places: Iterable[int]) -> np.ndarray:
    return np.array([_crc(read, *_extent(ends, place)) for place in places], _CRC)


def _crc(read: Read, start: int, end: int) -> int:
    crc = 0
    while start < end and (part := read(start, min(end - start, _READ_BYTES))):
        crc = isal_zlib.crc32(part, crc)
        start += len(part)
    return crc


def _reader(descriptor: int) -> Read:
    return lambda offset, length: os.pread(descriptor, length, offset)
