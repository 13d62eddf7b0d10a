"""NDJSON: a record is a line, and a line is one JSON object; or an element of the array in each line.

What an object means is in `json_objects`; how arrays are taken apart is in `json_batches`, and in
`json_texts` where they are in a text of the line.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.base import Content, Decoder, RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.held_records import HeldRecords
from sessions_platform.sources.formats.json_batches import BatchSplitter
from sessions_platform.sources.formats.json_objects import json_decoder
from sessions_platform.sources.formats.json_texts import TextArrayFinder, text_decoder
from sessions_platform.sources.formats.text_records import lines, whole_lines

# A first line that is no JSON by itself: an array or an object goes on in the next one.
_BEGINS_DOCUMENT = re.compile(rb'\s*(?:\[[ \t]*\r?\n\s*\{|\[[ \t]*\{[^\n]*\}[ \t]*,[ \t]*\r?\n|\{[ \t]*\r?\n[ \t]+")')
_SET_JSON = "it is JSON in several lines, an array or an object: set format: json"


class NdjsonFormat:
    """NDJSON in the encoding that a stream states."""

    def __init__(self, options: FormatOptions) -> None:
        self._options = options

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """Each line, the empty ones too; with `events`, each element of each line's array."""
        texts = _no_array(whole_lines(content.text(), block_bytes))
        if self._options.text_keys:
            finder = TextArrayFinder(self._options.text_keys, self._options.event_keys)
            return HeldRecords(finder.find).split(texts)
        if self._options.events is not None:
            return BatchSplitter(self._options.event_keys).split(texts)
        return chain.from_iterable(map(lines, texts))

    def decoder(self) -> Decoder:
        """A function from a line, or an element, to the fields of its object."""
        return text_decoder(self._options) if self._options.text_keys else json_decoder(self._options)


def _no_array(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The same texts. Raises CorruptDataError where the first line is not JSON, but where a longer document begins."""
    for number, text in enumerate(texts):
        if number == 0 and _BEGINS_DOCUMENT.match(text):
            raise CorruptDataError(_SET_JSON)
        yield text
