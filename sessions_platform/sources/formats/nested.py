"""Text within a field of a record, cut into fields of its own: an access line in the JSON of a journal or of Docker.

Any format may be around it. The text is replaced by an object of its fields, so that paths lead into it
(``MESSAGE.status``) and the fields around it stay where they are. Which bytes are a record, the outer format decides.
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any

from sessions_platform.contracts.field_paths import names_of
from sessions_platform.contracts.formats import FormatOptions, NestedText
from sessions_platform.sources.formats.base import (
    BlockDecoder,
    Content,
    Decoder,
    Fields,
    Format,
    RecordBlock,
    decode_all,
)
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.json_objects import JSON_NAMES


class NestedFormat:
    """The format of a stream's records, one of whose fields is text in another format."""

    def __init__(self, outer: Format, inner: Format, nested: NestedText) -> None:
        self._outer, self._inner, self._nested = outer, inner, nested

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """The records of the outer format."""
        return self._outer.records(content, block_bytes)

    def decoder(self) -> "NestedDecoder":
        """A function from a record to its fields, among them an object instead of the text."""
        return NestedDecoder(self._outer.decoder(), self._inner.decoder(), self._nested)


def nested_options(options: FormatOptions, nested: NestedText) -> FormatOptions:
    """The options of the inner format: its own, and those of the source about values."""
    inherited = options.model_dump(include={"non_finite", "invalid_utf8"})
    return FormatOptions.model_validate({**inherited, "format": nested.format, "pattern": nested.pattern})


class NestedDecoder(BlockDecoder):
    """Decodes records, one or many at once. Where the field is absent or null there is nothing to cut."""

    def __init__(self, outer: Decoder, inner: Decoder, nested: NestedText) -> None:
        self._outer, self._inner, self._field = outer, inner, nested.field
        self._is_base64 = nested.encoding == "base64"
        self._steps = names_of(nested.field)

    def many(self, payloads: Sequence[bytes], headers: Sequence[bytes | None]) -> Iterator[Fields | MalformedError]:
        """The fields of each record, or why it has none."""
        decoded = list(decode_all(self._outer, payloads, headers))
        texts = [self._text_or_error(fields) for fields in decoded]
        of_text = [text for text in texts if isinstance(text, bytes)]
        cut = decode_all(self._inner, of_text, [None] * len(of_text))
        for fields, text in zip(decoded, texts, strict=True):
            if isinstance(text, bytes) and isinstance(fields, dict):
                yield self._replaced(fields, next(cut))
            else:
                yield text if isinstance(text, MalformedError) else fields

    def _text_or_error(self, fields: Fields | MalformedError) -> bytes | MalformedError | None:
        """The text in bytes; None where there is none, or the record itself is malformed."""
        holder, key = (None, "") if isinstance(fields, MalformedError) else self._holder(fields)
        value = holder.get(key) if isinstance(holder, dict) else None
        text = bytes_of(value)
        if value is not None and text is None:
            return MalformedError(f"{self._field}: it is {JSON_NAMES[type(value)]}, no text")
        if text is None or not self._is_base64:
            return text
        try:
            return base64.b64decode(text, validate=True).removesuffix(b"\n")
        except binascii.Error:
            return MalformedError(f"{self._field}: it is not base64")

    def _holder(self, fields: Fields) -> tuple[Any, str]:
        """The object that has the text, and the key at which it is. A key that is the path itself takes precedence."""
        if self._field in fields:
            return fields, self._field
        holder: Any = fields
        for step in self._steps[:-1]:
            holder = holder.get(step) if isinstance(holder, dict) else None
        return holder, self._steps[-1]

    def _replaced(self, fields: Fields, cut: Fields | MalformedError) -> Fields | MalformedError:
        if isinstance(cut, MalformedError):
            return MalformedError(f"{self._field}: {cut}")
        holder, key = self._holder(fields)
        holder[key] = cut
        return fields


def bytes_of(value: Any) -> bytes | None:
    """A text, or a list of bytes as journald writes what is not UTF-8, without the line end; None for anything else."""
    if isinstance(value, list) and all(type(byte) is int and 0 <= byte < 256 for byte in value):
        text = bytes(value)
    elif isinstance(value, str):
        text = value.encode(errors="surrogatepass")
    else:
        return None
    return text.removesuffix(b"\n").removesuffix(b"\r") if text.endswith(b"\n") else text
