"""Decode the escapes that servers and browsers write in texts: each escape is a byte, and the bytes are UTF-8.

What is no escape stays as it is (``100%``, ``%zz``), because nothing says that it was not meant. Here: each value of a
column's `decode` as a function on bytes, and what its bytes are as text. Not here: when it is done (``cleaning``), and
the rows that are rejected because of bytes that are no text (``row_parser``).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.respelling import Decode
from sessions_platform.sources.formats.text_records import AS_LATIN_1

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_NGINX = re.compile(rb"\\x([0-9A-Fa-f]{2})")
_HAPROXY = re.compile(rb"#([0-9A-Fa-f]{2})")
_BACKSLASH = re.compile(rb"""\\(?:x([0-9A-Fa-f]{2})|([abfnrtv0"'/\\]))""")
_ESCAPED_CONTROL = re.compile(rb"\\u00([0-9A-Fa-f]{2})")
_BACKSLASH_OR_CONTROL = re.compile(rb"""\\(?:(?:x|u00)([0-9A-Fa-f]{2})|([abfnrtv0"'/\\]))""")
_ESCAPED_QUOTE = b'\\"'
_MEANINGS = dict(zip(b"abfnrtv0\"'/\\", b"\a\b\f\n\r\t\v\0\"'/\\", strict=True))


class Undecodable(NamedTuple):
    """A text that does not hold what the column reads from it: UTF-8 in escapes, or JSON."""

    text: str
    rule: str
    code: Code = Code.bad_text


def _unescaped(escape: re.Pattern[bytes]) -> Callable[[bytes], bytes]:
    return lambda text: escape.sub(lambda match: bytes([int(match[1], 16)]), text)


_percent = _unescaped(_PERCENT)


def _backslash(text: bytes) -> bytes:
    return _BACKSLASH.sub(lambda it: bytes([int(it[1], 16) if it[1] else _MEANINGS[it[2][0]]]), text)


def _quotes(text: bytes) -> bytes:
    return text.replace(_ESCAPED_QUOTE, b'"')


def _morgan(text: bytes) -> bytes:
    """Unescaped as JSON escapes, of which there is \\u only for the bytes of control characters."""
    return _BACKSLASH_OR_CONTROL.sub(lambda it: bytes([int(it[1], 16) if it[1] else _MEANINGS[it[2][0]]]), text)


def _latin_1(text: bytes) -> bytes:
    """The bytes of which each is one character of the text (in UTF-8), as Node and WSGI have headers; else the same."""
    try:
        return text.decode().encode("latin-1")
    except UnicodeError:
        return text


_AS_BYTES: dict[Decode, Callable[[bytes], bytes]] = {
    "percent": _percent,
    "percent_twice": lambda text: _percent(_percent(text)),
    "plus": lambda text: _percent(text.replace(b"+", b" ")),
    "nginx": _unescaped(_NGINX),
    "backslash": _backslash,
    "haproxy": _unescaped(_HAPROXY),
    "latin_1": _latin_1,
    "quotes": _quotes,
    "morgan": lambda text: _morgan(_latin_1(text)),
    "gunicorn": lambda text: _quotes(_latin_1(text)),
}
_BEYOND_ASCII = r"[^\x00-\x7F]"
# What a text contains that a decoder may change; and what its escapes may be that are not UTF-8, or U+0000.
_ESCAPES: dict[Decode, str] = {
    "percent": "%",
    "percent_twice": "%",
    "plus": "[%+]",
    "nginx": r"\\x",
    "backslash": r"\\",
    "haproxy": "#",
    "quotes": r'\\"',
    "latin_1": _BEYOND_ASCII,
    "morgan": rf"\\|{_BEYOND_ASCII}",
    "gunicorn": rf'\\"|{_BEYOND_ASCII}',
}
_HIGH = "(?:[89A-Fa-f][0-9A-Fa-f]|00)"
_DOUBTFUL: dict[Decode, str] = {
    "percent": f"%{_HIGH}",
    "percent_twice": f"%{_HIGH}|%25|%(?:%|[0-9A-Fa-f]%)",
    "plus": f"%{_HIGH}",
    "nginx": rf"\\x{_HIGH}",
    "backslash": rf"\\x{_HIGH}|\\0",
    "haproxy": f"#{_HIGH}",
    "quotes": "[^\\s\\S]",
    "latin_1": _BEYOND_ASCII,
    "morgan": rf"\\(?:x|u00){_HIGH}|\\0|{_BEYOND_ASCII}",
    "gunicorn": _BEYOND_ASCII,
}


@dataclass(frozen=True)
class Decoder:
    """One way of decoding. With `latin_1` each byte that is not UTF-8 is the character of its number.

    Attributes:
        escapes, doubtful: regular expressions (Rust syntax) of what texts contain that are decoded, and of those that
            may be undecodable.
    """

    name: Decode
    latin_1: bool = False

    @cached_property
    def escapes(self) -> str:
        return _ESCAPES[self.name]

    @cached_property
    def doubtful(self) -> str:
        return _DOUBTFUL[self.name]

    @property
    def splits_first(self) -> bool:
        """Whether separators are escaped within parts, so that a text has to be split before it is decoded."""
        return self.name == "haproxy"

    def unescaped(self, text: bytes) -> bytes:
        """The bytes that the text (in UTF-8, or any encoding whose ASCII is ASCII) stands for."""
        return _AS_BYTES[self.name](text)

    def text(self, text: str) -> str | Undecodable:
        """The text that it stands for. One that can't be stored as it is stays so, and is rejected for that."""
        try:
            decoded = self.unescaped(text.encode()).decode(errors=AS_LATIN_1 if self.latin_1 else "strict")
        except UnicodeEncodeError:
            return text
        except UnicodeDecodeError as error:
            rule = f"bytes that are UTF-8 (decode: {self.name}); byte 0x{error.object[error.start]:02X} is none"
            return Undecodable(text, rule)
        return Undecodable(text, f"holds U+0000 (decode: {self.name})") if "\0" in decoded else decoded
