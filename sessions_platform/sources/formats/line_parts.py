"""Lines that a container's log has in several records: Docker and Kubernetes cut lines above 16 KiB.

A record is then all records of a line, with the line ends between them, so that no byte is lost; it is decoded as the
one record that it would be without the cuts. Records of a container's two streams may alternate: where one is between
the parts of a line, these are records of their own, whose header is `APART`, and malformed, for bytes that aren't next
to each other make no record. Here: which records are parts, and how they are joined. Not here: what is around lines
(`contracts.wrappers`), and the line within (`nested`).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import polars as pl

from sessions_platform.sources.formats.base import (
    BlockDecoder,
    Content,
    Decoder,
    Fields,
    Format,
    RecordBlock,
    decode_all,
)
from sessions_platform.sources.formats.errors import CorruptDataError, MalformedError
from sessions_platform.sources.formats.text_records import LONGEST_LINE

# The header of a part whose line is not all in one record.
APART = b"part"
_LF = b"\n"
_IS_APART = "is a part of a line that was cut at 16 KiB, and a record of the other stream is amid it: log shorter lines"
_HAS_NO_END = "begins a line that was cut at 16 KiB, and the file ends before the rest: deliver both in one file"
_TOO_LONG = f"the rest of the file begins with a line of more than {LONGEST_LINE >> 20} MiB, in parts"


class Syntax(ABC):
    """How one kind of log says that a line goes on."""

    @abstractmethod
    def may_be_parts(self, payloads: pl.Series) -> pl.Series:
        """Which records of a block (Binary) may be parts that others follow (Boolean); quick, and misses none."""

    @abstractmethod
    def stream_and_part(self, record: bytes) -> tuple[bytes | None, bool]:
        """The stream that a record is of, None where it is of none; and whether the next one goes on with its line."""

    @abstractmethod
    def joined(self, parts: Sequence[bytes]) -> bytes:
        """One record with the whole line, of the records of its parts."""


class DockerParts(Syntax):
    """Docker's json-file: the text of a part has no line end, and 16 KiB.

    One that is shorter without a line end is the last that a process wrote. A byte that was not UTF-8 is U+FFFD in
    the record, so that a part may be longer; of a character that was cut in two nothing else is left.

    Source: moby, daemon/logger/copier.go and daemon/logger/jsonfilelog.
    """

    _PART = 16 * 1024
    _DECODE = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    _TEXT = msgspec.json.Decoder(str).decode

    def __init__(self, field: str) -> None:
        self._field = field

    def may_be_parts(self, payloads: pl.Series) -> pl.Series:
        return payloads.bin.size() >= self._PART

    def stream_and_part(self, record: bytes) -> tuple[bytes | None, bool]:
        try:
            fields = self._DECODE(record)
            text = self._TEXT(fields[self._field])
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError):
            return None, False
        is_part = not text.endswith("\n") and len(text.encode(errors="surrogatepass")) >= self._PART
        return bytes(fields.get("stream", b"")), is_part

    def joined(self, parts: Sequence[bytes]) -> bytes:
        records = [self._DECODE(part) for part in parts]
        text = b"".join(bytes(record[self._field])[1:-1] for record in records)  # between the quotes
        return msgspec.json.encode({**records[0], self._field: msgspec.Raw(b'"%b"' % text)})


class CriParts(Syntax):
    """The container runtime interface of Kubernetes: `TIME STREAM TAGS TEXT`; the first tag is P for a part, else F.

    Source: kubernetes, pkg/kubelet/kuberuntime/logs; containerd, internal/cri/io.
    """

    _HEAD = re.compile(rb"(?P<before>\S{1,40} (?P<stream>stdout|stderr) )(?P<tags>\S+)(?P<text> .*|)", re.DOTALL)
    _HEAD_BYTES = 64

    def may_be_parts(self, payloads: pl.Series) -> pl.Series:
        heads = payloads.bin.head(self._HEAD_BYTES)
        return heads.bin.contains(b" stdout P") | heads.bin.contains(b" stderr P")

    def stream_and_part(self, record: bytes) -> tuple[bytes | None, bool]:
        head = self._HEAD.fullmatch(record)
        return (head["stream"], head["tags"].startswith(b"P")) if head else (None, False)

    def joined(self, parts: Sequence[bytes]) -> bytes:
        heads = [head for head in map(self._HEAD.fullmatch, parts) if head]
        text = b"".join(head["text"][1:] for head in heads)
        return heads[0]["before"] + heads[-1]["tags"] + b" " + text


SYNTAXES: dict[str, Callable[[str], Syntax]] = {"docker": DockerParts, "cri": lambda _: CriParts()}


class PartsFormat:
    """A format of lines, some of which are parts of a longer one."""

    def __init__(self, inner: Format, syntax: Syntax) -> None:
        self._inner, self._syntax = inner, syntax

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """The records of the format, all parts of a line in one."""
        return _Joining(self._syntax, content).joined(self._inner.records(content, block_bytes))

    def decoder(self) -> Decoder:
        """A function from a record, or those of a line, to its fields: the first one's, with the whole line."""
        return _PartsDecoder(self._inner.decoder(), self._syntax)


class _PartsDecoder(BlockDecoder):
    def __init__(self, inner: Decoder, syntax: Syntax) -> None:
        self._inner, self._syntax = inner, syntax

    def many(self, payloads: Sequence[bytes], headers: Sequence[bytes | None]) -> Iterator[Fields | MalformedError]:
        """The fields of each record, or why it has none."""
        may_be_parts = self._syntax.may_be_parts(pl.Series(payloads, dtype=pl.Binary))
        rows = zip(payloads, headers, may_be_parts, strict=True)
        whole = [self._whole(payload, header, may_be_part) for payload, header, may_be_part in rows]
        texts = [text for text in whole if isinstance(text, bytes)]
        decoded = decode_all(self._inner, texts, [None] * len(texts))
        for text in whole:
            yield text if isinstance(text, MalformedError) else next(decoded)

    def _whole(self, payload: bytes, header: bytes | None, may_be_part: bool) -> bytes | MalformedError:
        if header == APART:
            return MalformedError(_IS_APART)
        if not may_be_part and _LF not in payload:
            return payload
        parts = _records_of(payload)
        if self._syntax.stream_and_part(parts[-1])[1]:
            return MalformedError(_HAS_NO_END)
        return self._syntax.joined(parts) if len(parts) > 1 else payload


def _records_of(payload: bytes) -> list[bytes]:
    return [line.removesuffix(b"\r") for line in payload.split(_LF)]


# Records -------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    payload: bytes
    terminator: bytes
    header: bytes | None = None


class _Joining:
    """Joins the parts of lines in the blocks of a file."""

    def __init__(self, syntax: Syntax, content: Content) -> None:
        self._syntax, self._content = syntax, content
        self._parts: list[_Row] = []  # of a line that goes on
        self._stream: bytes | None = None  # of these
        self._size = 0  # of these, in bytes
        self._apart: set[bytes | None] = set()  # the streams of which a line goes on after records of others

    def joined(self, blocks: Iterator[RecordBlock]) -> Iterator[RecordBlock]:
        """The same blocks with the parts of each line in one record. Raises CorruptDataError as they do."""
        try:
            for block in blocks:
                may_be_parts = self._syntax.may_be_parts(block.payloads)
                if may_be_parts.any() or self._parts or self._apart:
                    yield from self._of_block(block, may_be_parts)
                else:
                    yield block
        except CorruptDataError:
            yield from self._rest()
            raise
        yield from self._rest()

    def _rest(self) -> Iterator[RecordBlock]:
        """The parts of a line whose end is not in the file."""
        if self._parts:
            self._content.open_bytes = self._content.open_bytes or self._size
            yield _block([self._taken()])

    def _of_block(self, block: RecordBlock, may_be_parts: pl.Series) -> Iterator[RecordBlock]:
        """The records of a block. A last line without an end is in a block with what it may belong to."""
        rows: list[_Row] = []
        preamble = block.preamble
        for payload, terminator, may_be_part in zip(*_lists(block), may_be_parts, strict=True):
            if not terminator:
                self._content.open_bytes = self._size + len(payload)
                yield _block(rows, preamble)
                rows, preamble = [], b""
            rows += self._row(_Row(payload, terminator), may_be_part)
            if self._size > LONGEST_LINE:
                self._parts = []
                yield _block(rows, preamble)
                raise CorruptDataError(_TOO_LONG)
        yield _block(rows, preamble)

    def _row(self, row: _Row, may_be_part: bool) -> Iterator[_Row]:
        """The records that end with one more."""
        if not (may_be_part or self._parts or self._apart):
            yield row
            return
        stream, is_part = self._syntax.stream_and_part(row.payload)
        if self._parts and stream != self._stream:
            self._apart.add(self._stream)
            yield self._taken()._replace(header=APART)
        if stream in self._apart:
            self._apart -= set() if is_part else {stream}
            yield row._replace(header=APART)
        elif is_part or self._parts:
            self._add(row, stream)
            if not is_part:
                yield self._taken()
        else:
            yield row

    def _add(self, row: _Row, stream: bytes | None) -> None:
        self._parts.append(row)
        self._stream = stream
        self._size += len(row.payload) + len(row.terminator)

    def _taken(self) -> _Row:
        """One record of the parts so far, of which there are none then."""
        text = b"".join(part.payload + part.terminator for part in self._parts)
        terminator = self._parts[-1].terminator
        self._parts, self._size = [], 0
        return _Row(text[: len(text) - len(terminator)], terminator)


def _lists(block: RecordBlock) -> tuple[list[bytes], list[bytes]]:
    assert block.terminators is not None
    return block.payloads.to_list(), block.terminators.to_list()


def _block(rows: Sequence[_Row], preamble: bytes = b"") -> RecordBlock:
    payloads, terminators, headers = zip(*rows, strict=True) if rows else ((), (), ())
    of_rows = (pl.Series(part, dtype=pl.Binary) for part in (payloads, terminators, headers))
    return RecordBlock(*of_rows, preamble=preamble)
