"""logfmt: a record is a line of pairs, ``level=info path="/a b" dry_run``, as Heroku, Traefik and go-kit write them.

A value in quotes may contain anything; its escapes are those of JSON and of Go's ``strconv.Quote``. A key alone is
true, ``key=`` is null. Of a key that is repeated the last value counts, as in JSON here. What is none of this, such as
a quote within a bare value, makes the line malformed. Lines are decoded one by one.
"""

import re
from collections.abc import Iterator

from sessions_platform.sources.formats.base import Fields
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.line_format import LineFormat

_SPACE = r"\x00-\x20"
_SPACES = re.compile(f"[{_SPACE}]*")
_PAIR = re.compile(
    rf'(?P<key>[^{_SPACE}="]+)'
    rf'(?P<value>=(?:"(?P<quoted>(?>[^"\\]*(?:\\.[^"\\]*)*))"|(?P<bare>[^{_SPACE}"]*)))?'
    rf"(?=[{_SPACE}]|$)",
    re.DOTALL,
)
_ESCAPE = re.compile(
    r"(?P<bytes>(?:\\x[0-9a-fA-F]{2})+)|(?P<units>(?:\\u[0-9a-fA-F]{4})+)|\\U(?P<point>[0-9a-fA-F]{8})|\\(?P<letter>.)",
    re.DOTALL,
)
_LETTERS = {**dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)), **{mark: mark for mark in "\"\\/'"}}


class LogfmtFormat(LineFormat):
    """Lines of pairs; values are text, True or None."""

    def fields(self, text: str) -> Fields:
        """The pairs of a line."""
        fields = dict(_pairs(text))
        if not fields:
            raise MalformedError("is an empty line")
        return fields


def _pairs(text: str) -> Iterator[tuple[str, str | bool | None]]:
    at = _end_of_spaces(text, 0)
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise MalformedError(f"is not logfmt: no key with a value begins at character {at + 1}")
        yield pair["key"], _value(pair)
        at = _end_of_spaces(text, pair.end())


def _end_of_spaces(text: str, at: int) -> int:
    spaces = _SPACES.match(text, at)
    return spaces.end() if spaces else at


def _value(pair: re.Match[str]) -> str | bool | None:
    if pair["value"] is None:
        return True
    if pair["quoted"] is None:
        return pair["bare"] or None
    return _ESCAPE.sub(_unescaped, pair["quoted"]) if "\\" in pair["quoted"] else pair["quoted"]


def _unescaped(escape: re.Match[str]) -> str:
    """What an escape stands for. Half of a character stays one, and is rejected with its column."""
    try:
        if escape["bytes"]:
            return _storable(bytes.fromhex(escape["bytes"].replace("\\x", "")).decode())
        if escape["units"]:
            units = bytes.fromhex(escape["units"].replace("\\u", ""))
            return units.decode("utf-16-be", "surrogatepass")
        return _storable(chr(int(escape["point"], 16))) if escape["point"] else _LETTERS[escape["letter"]]
    except (ValueError, KeyError, OverflowError):
        raise MalformedError(f"has an escape that stands for no character: {escape[0][:10]!r}") from None


def _storable(text: str) -> str:
    """The text. Raises ValueError where it is U+0000 or half of a character, which is not expected of these escapes."""
    if "\0" in text:
        raise ValueError(text)
    text.encode()
    return text
