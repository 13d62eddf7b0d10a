"""What the header of a record means whose format takes arrays apart: the envelope around the array.

An envelope is in the format of what was taken apart: JSON, or a query string.
"""

from collections.abc import Callable
from functools import lru_cache

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.base import Decoder, Fields
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.json_objects import json_decoder
from sessions_platform.sources.formats.query import QueryFormat


def envelope_decoder(options: FormatOptions) -> Callable[[bytes], Fields]:
    """A function from the header of a record to the fields of its envelope. It raises MalformedError."""
    decode = _decoder(options)

    def envelope(header: bytes) -> Fields:
        try:
            return decode(header, header)
        except MalformedError as broken:
            raise MalformedError(f"its envelope {broken}") from None

    return lru_cache(maxsize=1024)(envelope)


def _decoder(options: FormatOptions) -> Decoder:
    if options.format == "query" and options.events is not None:
        return QueryFormat(options.model_copy(update={"events": None})).decoder()
    return json_decoder(options)
