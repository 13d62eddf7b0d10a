"""The protocol that every record format keeps.

A format does two things: it splits the content of a file into records, without interpreting them and without losing a
byte, and it decodes one record into fields. Here are the protocol and the types that its two sides share. Not here: its
errors (`errors`), which formats there are (`contracts.formats.FORMATS`), how a stream gets its own
(`sources.formats.registry`), where content comes from (`sources.files`), and which columns are made of the fields
(`transforms.parse`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import FileIO
from typing import Any, NamedTuple, Protocol, runtime_checkable

import polars as pl

from sessions_platform.sources.formats.errors import MalformedError

Fields = dict[str, Any]

# From a record and its header, None where it has none, to its fields. Raises MalformedError.
Decoder = Callable[[bytes, bytes | None], Fields]


class BlockDecoder(ABC):
    """A decoder that decodes many records in less time than each by itself."""

    @abstractmethod
    def many(self, payloads: Sequence[bytes], headers: Sequence[bytes | None]) -> Iterator[Fields | MalformedError]:
        """The fields of each record, or why it has none, in their order."""

    def __call__(self, payload: bytes, header: bytes | None) -> Fields:
        """The fields of one record. Raises MalformedError."""
        (fields,) = self.many([payload], [header])
        if isinstance(fields, MalformedError):
            raise fields
        return fields


def decode_all(
    decode: Decoder, payloads: Sequence[bytes], headers: Sequence[bytes | None]
) -> Iterator[Fields | MalformedError]:
    """The fields of each record, or why it is malformed, in their order."""
    if isinstance(decode, BlockDecoder):
        yield from decode.many(payloads, headers)
        return
    for payload, header in zip(payloads, headers, strict=True):
        try:
            yield decode(payload, header)
        except MalformedError as error:
            yield error


class RecordBlock(NamedTuple):
    """Records of a file, in its order.

    Attributes:
        payloads: the records, Binary; not null, unless there are `fields`.
        terminators: the bytes behind each record, up to the next record or the end of the text; Binary, not null.
            None where records are not parts of a text.
        header: the header of these records: one of all, or one for each (Binary, null where it has none). None where
            the format has none.
        preamble: the bytes before the first record of the file, such as a header. Empty in every block that has
            a record before it.
        fields: the fields of the records of a file with types (`contracts.raw_events`), of which their payloads are
            made; None where they have payloads.
    """

    payloads: pl.Series
    terminators: pl.Series | None
    header: bytes | pl.Series | None = None
    preamble: bytes = b""
    fields: pl.DataFrame | None = None


class Content(Protocol):
    """An open landing file, as a format reads it: either its text, or the file itself."""

    max_bytes: int
    open_bytes: int  # set by a format of whose last records more is unsettled than one without a line end
    has_open_head: bool  # set by one that reads a head of lines, while that might be cut off

    def text(self) -> Iterator[bytes]:
        """The decompressed text without its BOM, in chunks. Raises CorruptDataError where the rest is not readable."""
        ...

    def file(self) -> FileIO:
        """The file, for a library that reads it at random. It must not be read beyond `max_bytes`, decompressed."""
        ...


class Format(Protocol):
    """A format, with the options of one stream: it is made with the stream's `FormatOptions`."""

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """The file's records, in blocks of about `block_bytes` of text.

        Preambles, payloads and terminators of a text, joined in order, are the text again.

        Raises:
            CorruptDataError: the rest of the file can't be read; all records before have been returned.
            OSError: an outage: the file is not available.
        """
        ...

    def decoder(self) -> Decoder:
        """A function that decodes one record; made once for many records."""
        ...


@runtime_checkable
class NamingFields(Protocol):
    """The optional capability of a format whose files name their fields: to tell a file that names others."""

    def requiring(self, required: Mapping[str, Sequence[str]]) -> Format:
        """The same format, by which a file is corrupt that names none of these fields.

        Args:
            required: for each column that can't be null, the fields that it may be read from.
        """
        ...
