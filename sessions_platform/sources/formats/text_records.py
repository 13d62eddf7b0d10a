"""Text split at its line ends, for the formats whose records are lines or groups of lines.

Records are views of the text: positions are numpy arrays, payloads polars Series that share the text's
memory, so no byte is copied and no Python object made for a record. What a record means, and where
quotes join lines, is for the formats (`ndjson`, `csv`).
"""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise

import numpy as np
import polars as pl

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.scanner.library import MOST_TEXT, Scanner, scanner
from sessions_platform.sources.formats.base import RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError, MalformedError

# A line has to fit into memory several times over, and a rejected one into a field of PostgreSQL.
LONGEST_LINE = 128 * 1024 * 1024
# The memory that a row takes besides its bytes is bounded too: a text may consist of newlines alone.
BLOCK_ROWS = 128 * 1024

LF, CR = b"\n", b"\r"

# Ends in a text, each after a record and its terminator: int64, increasing.
Ends = np.ndarray


def decoded(record: bytes, encoding: str) -> str:
    """A record as text. Raises MalformedError where it isn't text in this encoding."""
    try:
        return record.decode(encoding)
    except UnicodeError:
        raise MalformedError(f"is not {encoding.upper()}") from None


def text_decoder(options: FormatOptions) -> Callable[[bytes], str]:
    """A function from a record to its text, by `encoding` and `invalid_utf8`. It raises MalformedError."""
    if options.encoding == "utf-8" and options.invalid_utf8 == "latin-1":
        return lambda record: record.decode(errors=AS_LATIN_1)
    return lambda record: decoded(record, options.encoding)


# Stands for a byte that is not UTF-8: a private character, in the order of the bytes.
STAND_IN = re.compile("[\U0010ff80-\U0010ffff]")
_FIRST_STAND_IN = 0x10FF00


def with_stand_ins(record: bytes) -> str:
    """A record as text, with a stand-in for each byte that belongs to no character of UTF-8.

    So the caller can reject the field that has it. Raises MalformedError where the record has such characters itself,
    besides such bytes.
    """
    try:
        return record.decode()
    except UnicodeDecodeError:
        if STAND_IN.search(record.decode(errors="replace")):
            raise MalformedError("is not UTF-8") from None
        return record.decode(errors=_AS_STAND_IN)


def has_stand_ins(text: str, record: bytes) -> bool:
    """Whether the text that `with_stand_ins` made of a record has any."""
    return STAND_IN.search(text) is not None and text.encode() != record


def _handle_as(name: str, first: int) -> str:
    """Register a way to decode: a byte that is not UTF-8 becomes the character of its number, counted from `first`."""

    def characters(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeDecodeError)
        return "".join(chr(first + byte) for byte in error.object[error.start : error.end]), error.end

    codecs.register_error(name, characters)
    return name


AS_LATIN_1 = _handle_as("sessions_platform.latin-1", 0)
_AS_STAND_IN = _handle_as("sessions_platform.stand-in", _FIRST_STAND_IN)


def whole_lines(chunks: Iterable[bytes], size: int, line_end: bytes = LF) -> Iterator[bytes]:
    """The same text in larger chunks, each cut after a line's end; what follows the last one comes last.

    Args:
        chunks: the text, in chunks that are shorter than LONGEST_LINE.
        size: how long a chunk of the result is at least, in bytes, but for the last.
        line_end: LF or CR.

    Raises:
        CorruptDataError: a line is longer than LONGEST_LINE, or `chunks` raised it; all whole lines before
            that have been returned.
    """
    buffered: list[bytes] = []
    length = unfinished = 0  # of what is buffered, and of the unfinished line at its end
    try:
        for chunk in chunks:
            first, last = chunk.find(line_end), chunk.rfind(line_end) + 1
            if unfinished + (first if last else len(chunk)) > LONGEST_LINE:
                raise CorruptDataError(f"the rest of the file begins with a line of more than {LONGEST_LINE >> 20} MiB")
            if last and length + len(chunk) >= size:
                yield b"".join([*buffered, memoryview(chunk)[:last]])
                buffered = [chunk[last:]]
                length = unfinished = len(chunk) - last
            else:
                buffered.append(chunk)
                length += len(chunk)
                unfinished = len(chunk) - last if last else unfinished + len(chunk)
    except CorruptDataError:
        if length > unfinished:
            yield b"".join(buffered)[: length - unfinished]
        raise
    if length:
        yield b"".join(buffered)


def lines(text: bytes, line_end: bytes = LF) -> Iterator[RecordBlock]:
    """The lines of a text. LF ends a line, with the CR before it, or CR alone; the other byte is data."""
    library = _scanner_for(text, line_end)
    if library is None:
        return record_blocks(text, line_ends(text, line_end), line_end)
    return _scanned_lines(text, library)


def are_records(text: bytes, quote: bytes | None, line_end: bytes) -> bool:
    """Whether no line has an odd number of quotes, so that each is a record; False where the scanner can't tell."""
    library = _scanner_for(text, line_end)
    return library is not None and (quote is None or not library.has_odd_line(text, ord(quote)))


def _scanner_for(text: bytes, line_end: bytes) -> Scanner | None:
    return scanner() if line_end == LF and len(text) <= MOST_TEXT else None


def _scanned_lines(text: bytes, library: Scanner) -> Iterator[RecordBlock]:
    start = 0
    for first, end in pairwise(_equal_parts(library.count_lines(text))):
        payloads, terminators, start = library.lines(text, start, end - first)
        yield RecordBlock(payloads, terminators)


def line_ends(text: bytes, line_end: bytes = LF, ends: Ends | None = None) -> Ends:
    """The offset after each line of the text; `ends` are the offsets of its line ends where they are known."""
    behind = (positions_of(text, line_end[0]) if ends is None else ends) + 1
    return np.append(behind, len(text)) if text and not text.endswith(line_end) else behind


def positions_of(text: bytes, byte: int) -> Ends:
    """Where a text has this byte."""
    return np.flatnonzero(np.frombuffer(text, np.uint8) == byte)


def record_blocks(text: bytes, ends: Ends, line_end: bytes = LF) -> Iterator[RecordBlock]:
    """The records of a text that end at these offsets, at most BLOCK_ROWS in a block.

    They are views of the text and keep it in memory. Blocks are of equal size, because a small one costs nearly
    as much as a large one.
    """
    start = 0
    for first, end in pairwise(_equal_parts(len(ends))):
        yield _record_block(text, start, ends[first:end], line_end)
        start = ends[end - 1]


def _equal_parts(rows: int) -> list[int]:
    """Where blocks of at most BLOCK_ROWS begin and end, the longer ones first; nowhere if there are no rows."""
    blocks = -(-rows // BLOCK_ROWS)
    size, longer = divmod(rows, blocks or 1)
    return list(accumulate((size + (number < longer) for number in range(blocks)), initial=0))


def _record_block(text: bytes, start: int, ends: Ends, line_end: bytes) -> RecordBlock:
    data = np.frombuffer(text, np.uint8)
    starts = np.append(start, ends[:-1])
    newline = data[ends - 1] == line_end[0]
    carriage_return = newline & (ends - starts > 1) & (data[ends - 2] == CR[0]) & (line_end == LF)
    # One array of offsets cuts the text into payload, terminator, payload, terminator …
    cuts = np.empty(2 * len(ends) + 1, np.int64)
    cuts[0] = start
    cuts[1::2] = ends - newline - carriage_return
    cuts[2::2] = ends
    parts = _parts(text, cuts)
    return RecordBlock(parts.gather_every(2), parts.gather_every(2, 1))


def no_records(text: bytes) -> RecordBlock:
    """A text in which there is no record; all of it is its preamble."""
    nothing = pl.Series(dtype=pl.Binary)
    return RecordBlock(nothing, nothing, None, text)


def span_blocks(
    text: bytes, starts: Ends, ends: Ends, headers: pl.Series | None, stop: int, preamble: bytes = b""
) -> Iterator[RecordBlock]:
    """Records at these offsets of a text, at most BLOCK_ROWS in a block.

    The bytes behind each, up to the next or to `stop`, are its terminator.
    """
    following = np.append(starts[1:], stop)
    for first in range(0, len(starts), BLOCK_ROWS):
        part = slice(first, first + BLOCK_ROWS)
        cuts = np.empty(2 * len(starts[part]) + 1, np.int64)
        cuts[:-1:2], cuts[1::2], cuts[-1] = starts[part], ends[part], following[part][-1]
        assert (np.diff(cuts) >= 0).all(), "records overlap"  # pyarrow would read outside of the text
        parts = _parts(text, cuts)
        header = None if headers is None else headers[part]
        yield RecordBlock(parts.gather_every(2), parts.gather_every(2, 1), header, preamble)
        preamble = b""


def _parts(text: bytes, cuts: Ends) -> pl.Series:
    """The parts of a text between these offsets (Int64), as Binary that shares the text's memory."""
    import pyarrow as pa  # not loaded by what only knows how records are divided

    buffers = [None, pa.py_buffer(cuts), pa.py_buffer(text)]
    return pl.Series(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(cuts) - 1, buffers))
