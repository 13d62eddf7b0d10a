"""The envelopes of a block of rows: what columns read from them (``^sentAt``), for all rows at once.

Rows of one batch have one header and follow each other, so each envelope is decoded once. What a path means, and which
rows are rejected for their envelope, is in ``row_parser``.
"""

import re
from typing import Any

import polars as pl

from sessions_platform.contracts.columns import ENVELOPE
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.envelopes import envelope_decoder
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.transforms.parse.decoding import Undecodable
from sessions_platform.transforms.parse.paths import envelope_text
from sessions_platform.transforms.parse.templates import Slot
from sessions_platform.transforms.parse.unstorable import may_contain_unstorable

# The text of a null, which is no value's: it can't be stored.
_NULL = "\0"
_EXPONENT = re.compile("-?[0-9.]+[eE][-+]?[0-9]+")


class EnvelopeTexts:
    """The text at each path into the envelope, by row number.

    Attributes:
        slots: a slot for each path.
        texts: for each path a text for each row (String); null where the envelope has none.
        readable: for each row whether its envelope was read (Boolean). The others are left to the row parser: their
            envelope is broken, or has an object or a list at a path, or text that may not be storable.

    Args:
        headers: of all rows of a block (Binary).
    """

    def __init__(self, headers: pl.Series, stream: Stream) -> None:
        every = [path for name, column in stream.columns.items() for path in column.paths(name)]
        paths = sorted({path for path in every if path.startswith(ENVELOPE)})
        self.slots = {path: Slot(-number, null=_NULL) for number, path in enumerate(paths, start=1)}
        self._decode = envelope_decoder(stream.source)
        runs = headers.rle_id()
        firsts = headers.gather(runs.search_sorted(runs.unique()))
        of_runs = [self._texts(header) for header in firsts]
        self.readable = pl.Series([texts is not None for texts in of_runs], dtype=pl.Boolean).gather(runs)
        self.texts = {
            path: pl.Series([texts and texts[number] for texts in of_runs], dtype=pl.String).gather(runs)
            for number, path in enumerate(paths)
        }

    def _texts(self, header: bytes | None) -> list[str | None] | None:
        """The texts of one envelope; None if it is left to the row parser."""
        if header is None or may_contain_unstorable(header):
            return None
        try:
            texts = [envelope_text(self._decode(header), path) for path in self.slots]
        except MalformedError:
            return None
        return None if any(map(_is_for_row_parser, texts)) else texts


def _is_for_row_parser(text: Any) -> bool:
    """Whether it is no scalar, or may be a number with an exponent, which timestamps read otherwise."""
    return isinstance(text, dict | list | Undecodable) or (text is not None and _EXPONENT.fullmatch(text) is not None)
