"""A warning where the text of a file is UTF-8, and its stream states an encoding of single bytes.

Every byte is a letter in such an encoding, so that nothing of the file would be rejected: é would be Ã© in every event.
Text in another encoding is hardly ever valid UTF-8 by accident, once it has letters beyond ASCII.
"""

import codecs


class EncodingDoubt:
    """Looks at a text, chunk by chunk, for as long as it is UTF-8."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder("utf-8")() if _is_of_single_bytes(encoding) else None
        self._example = ""

    def see(self, chunk: bytes, *, is_last: bool = False) -> None:
        """Look at the next chunk; at the end at an empty one that is the last."""
        if self._decoder is None:
            return
        try:
            text = self._decoder.decode(chunk, is_last)
        except UnicodeDecodeError:
            self._decoder = None
            return
        if not self._example and not text.isascii():
            self._example = next(letter for letter in text if not letter.isascii())

    @property
    def warning(self) -> str | None:
        """What is to be told of the text that was seen; None where all is well."""
        if self._decoder is None or not self._example:
            return None
        as_read = self._example.encode().decode(self._encoding, "replace")
        return f"its text is UTF-8, and is read as {self._encoding}: {self._example} as {as_read}. Fix: encoding: utf-8"


def _is_of_single_bytes(encoding: str) -> bool:
    return encoding != "utf-8" and len(bytes(range(256)).decode(encoding, "replace")) == 256
