"""JSON: a record is an element of an array, or a document: one of many that follow each other, or of none other.

The text is read in blocks, so that an array may be of any length. A value whose brackets or quotes are not closed
costs no other record where it can be told where the next one begins. Which values are records is in `json_elements`;
decoding one is NDJSON's (`ndjson`).
"""

from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from sessions_platform.contracts.formats import EACH_ITEM, FormatOptions
from sessions_platform.sources.formats.base import Content, Decoder, RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.held_records import HeldRecords, Spans
from sessions_platform.sources.formats.json_brackets import Offsets, broken_end
from sessions_platform.sources.formats.json_elements import ElementFinder, Found, State, headers_of
from sessions_platform.sources.formats.json_objects import json_decoder
from sessions_platform.sources.formats.text_records import LONGEST_LINE, no_records, span_blocks

# Behind a broken value this much is searched at first, for there may be many of them.
_AFTER_BROKEN = 256 * 1024
_TOO_LONG = f"the rest of the file begins with more than {LONGEST_LINE >> 20} MiB without the end of a record"
_CUT_OFF = "it ends in the middle of a JSON document"


class JsonFormat:
    """JSON documents in the encoding that a stream states, with its events at the path `events`."""

    def __init__(self, options: FormatOptions) -> None:
        self._options = options

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """The elements of each document's array; documents without one are records too."""
        keys = self._options.event_keys
        splitter = PassingSplitter if EACH_ITEM in keys else DocumentSplitter
        return splitter(keys, block_bytes).split(content.text())

    def decoder(self) -> Decoder:
        """A function from a record to the fields of its object."""
        return json_decoder(self._options)


class DocumentSplitter:
    """Splits one text into its records.

    The last record that is found stays in memory until the next one is, for what is between them belongs to it.
    """

    def __init__(self, keys: list[str], block_bytes: int) -> None:
        self._finder = ElementFinder(keys)
        self._has_envelopes = bool(keys)
        self._block_bytes = block_bytes
        self._rest = b""
        self._state = State()
        self._known = 0  # the length of the record that the rest begins with, where there is one
        self._window = LONGEST_LINE * 2
        self._begun = False
        self._preamble = b""

    def split(self, chunks: Iterable[bytes]) -> Iterator[RecordBlock]:
        """The records. Raises CorruptDataError where the text ends too early, or a record is too long."""
        try:
            for chunk in _joined(chunks, self._block_bytes):
                self._rest += chunk
                del chunk  # as large as a block, and the records are views of another copy
                yield from self._decided(final=False)
                if len(self._rest) > LONGEST_LINE + self._block_bytes:
                    raise CorruptDataError(_TOO_LONG)
        except CorruptDataError:
            found = self._finder.find(self._rest[self._known :], self._state)
            yield from self._blocks(*self._with_known(self._without_open(found, False)), len(self._rest))
            raise
        yield from self._decided(final=True)
        if not self._begun:
            yield no_records(self._preamble + self._rest)

    def _decided(self, final: bool) -> Iterator[RecordBlock]:
        """The records of the rest whose end is certain; they are taken from it."""
        while self._rest:
            text = self._rest[self._known :][: self._window]
            is_last = self._known + len(text) == len(self._rest)
            found = self._without_open(self._finder.find(text, self._state), final and is_last)
            end = None if found.broken is None else self._broken_end(text, found.broken, final and is_last)
            if found.broken is not None and end is not None:
                yield from self._with_broken(found, end)
                continue
            if is_last and final:
                yield from self._blocks(*self._with_known(found), len(self._rest))
                if found.open_document is not None or found.broken is not None:
                    raise CorruptDataError(_CUT_OFF)
                return
            if len(found.ends) and _may_go_on(text, int(found.ends[-1])):
                found = found.first(len(found.ends) - 1)
            del text  # a copy of the block, while others wait for its records
            yield from self._but_the_last(found)
            self._window = min(self._window * 4, LONGEST_LINE * 2)
            if is_last:
                return

    def _without_open(self, found: Found, final: bool) -> Found:
        """What was found, without the elements of a document whose envelope goes on behind the text.

        An envelope that is longer than a block is taken as far as its array.
        """
        start = found.open_document
        is_long = start is not None and len(self._rest) - self._known - start >= self._block_bytes
        if not self._has_envelopes or start is None or start < 0 or final or is_long:
            return found
        broken = found.broken if found.broken is not None and found.broken < start else None
        return found.first(int(np.searchsorted(found.starts, start)))._replace(broken=broken)

    def _broken_end(self, text: bytes, start: int, final: bool) -> int | None:
        if text[start : start + 1] in (b"]", b"}"):
            return start + 1  # it closes nothing
        return broken_end(text, start, final)

    def _with_broken(self, found: Found, end: int) -> Iterator[RecordBlock]:
        """The records before a broken value. The rest then begins with that one."""
        assert found.broken is not None
        start = found.broken + self._known
        starts, ends, headers = self._with_known(found)
        if len(starts):
            yield from self._blocks(starts, ends, headers, start)
        else:  # only possible before the first record: any other is still there
            self._preamble += self._rest[:start]
        self._rest = self._rest[start:]
        header = found.headers[found.broken_header]
        self._state = State(self._finder.depth, header) if found.broken_in_array else State()
        self._known, self._window = end - found.broken, _AFTER_BROKEN

    def _but_the_last(self, found: Found) -> Iterator[RecordBlock]:
        """All records but the last, with which the rest then begins."""
        if not len(found.starts):
            return
        starts, ends, headers = self._with_known(found)
        last = int(starts[-1])
        if len(starts) > 1:
            others = None if headers is None else headers[:-1]
            yield from self._blocks(starts[:-1], ends[:-1], others, last)
        else:
            self._preamble += self._rest[:last]
        self._rest, self._known = self._rest[last:], int(ends[-1]) - last
        header = found.headers[int(found.header[-1])]
        self._state = State(self._finder.depth, header) if found.in_array[-1] else State()

    def _with_known(self, found: Found) -> tuple[Offsets, Offsets, pl.Series | None]:
        """The records of the rest: the known one, and those that were found behind it. Headers only if there are."""
        starts, ends = found.starts + self._known, found.ends + self._known
        headers = found.header_of_each if self._has_envelopes else None
        if self._known:
            starts, ends = np.append(0, starts), np.append(self._known, ends)
            headers = None if headers is None else pl.concat([headers_of([self._state.header]), headers])
        return starts, ends, headers

    def _blocks(self, starts: Offsets, ends: Offsets, headers: pl.Series | None, stop: int) -> Iterator[RecordBlock]:
        """Blocks of the records; the bytes up to `stop` belong to the last of them."""
        if not len(starts):
            return
        preamble = b"" if self._begun else self._preamble + self._rest[: starts[0]]
        self._begun = True
        yield from span_blocks(self._rest, starts, ends, headers, stop, preamble)


class PassingSplitter:
    """Splits one text into the elements of arrays that the keys lead to through other arrays.

    Each document is held as a whole. A text that is one array has its items as documents.
    """

    def __init__(self, keys: list[str], block_bytes: int) -> None:
        self._documents = DocumentSplitter([], block_bytes)
        self._finder = ElementFinder(keys[1:] if keys[0] == EACH_ITEM else keys)

    def split(self, chunks: Iterable[bytes]) -> Iterator[RecordBlock]:
        """The records. Raises CorruptDataError as `DocumentSplitter` does."""
        found: deque[Spans] = deque()

        def texts() -> Iterator[bytes]:
            for block in self._documents.split(chunks):
                text, spans = self._of_block(block)
                found.append(spans)
                yield text

        return HeldRecords(lambda _: found.popleft()).split(texts())

    def _of_block(self, block: RecordBlock) -> tuple[bytes, Spans]:
        """The text of some documents and what is between them, and where its records are."""
        assert block.terminators is not None
        parts, at = [block.preamble], len(block.preamble)
        spans = [_no_spans()]
        for document, terminator in zip(block.payloads, block.terminators, strict=True):
            starts, ends, headers = self._of_document(document)
            spans.append((starts + at, ends + at, headers))
            parts += [document, terminator]
            at += len(document) + len(terminator)
        starts, ends, headers = zip(*spans, strict=True)
        return b"".join(parts), (np.concatenate(starts), np.concatenate(ends), pl.concat(headers))

    def _of_document(self, document: bytes) -> tuple[Offsets, Offsets, pl.Series]:
        found = self._finder.find(document, State())
        if found.broken is not None or found.open_document is not None:
            return np.array([0]), np.array([len(document)]), headers_of([None])
        return found.starts, found.ends, found.header_of_each


def _no_spans() -> tuple[Offsets, Offsets, pl.Series]:
    nothing = np.array([], np.int64)
    return nothing, nothing, headers_of([])


def _may_go_on(text: bytes, end: int) -> bool:
    """Whether a record that ends here may be longer: a number at the end of the text, for example."""
    return end >= len(text) and text[-1:] not in (b"}", b"]")


def _joined(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The chunks, joined to larger ones of at least this size."""
    parts: list[bytes] = []
    length = 0
    try:
        for chunk in chunks:
            parts.append(chunk)
            length += len(chunk)
            if length >= size:
                parts, length = [b"".join(parts)], 0
                yield parts.pop()  # not kept while it is used
    except CorruptDataError:
        yield b"".join(parts)
        raise
    yield b"".join(parts)
