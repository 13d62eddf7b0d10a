"""What formats share whose records are lines: each line is a record, and is decoded as text by itself.

Not here: what is in a line (`logfmt`, `query`, `regex`), and where lines end (`text_records`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.base import Content, Decoder, Fields, RecordBlock
from sessions_platform.sources.formats.text_records import lines, text_decoder, whole_lines


class Lines:
    """Lines in the encoding that a stream states."""

    def __init__(self, options: FormatOptions) -> None:
        self._options = options

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """Each line, the empty ones too."""
        return chain.from_iterable(map(lines, whole_lines(content.text(), block_bytes)))


class LineFormat(Lines, ABC):
    """Lines that are decoded one by one; `fields` says what is in one."""

    def decoder(self) -> Decoder:
        """A function from a line to its fields."""
        text_of = text_decoder(self._options)

        def decode(payload: bytes, header: bytes | None) -> Fields:  # noqa: ARG001
            return self.fields(text_of(payload))

        return decode

    @abstractmethod
    def fields(self, text: str) -> Fields:
        """The fields of a line, without its end. Raises MalformedError."""
