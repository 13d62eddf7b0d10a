"""Rules that relate the keys of CSV to each other and to the format; part of ``stream_checks``.

They work on the file as YAML has read it, and skip a value that is invalid on its own.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from sessions_platform.contracts.csv_options import BLANKS, WHITESPACE
from sessions_platform.contracts.issues import Issue, Raw

_ONLY_CSV = ("escape", "comment", "line_end", "header_file", "extra_fields", "missing_fields")
_SYNTAX_KEYS = ("separator", "quote", "escape", "comment")
_DEFAULTS = {"separator": ",", "quote": '"'}


def csv_issues(source: Raw, *, keeps_syntax: bool) -> Iterator[Issue]:
    """Issues of the keys of CSV.

    Args:
        source: as YAML has read it.
        keeps_syntax: whether its encoding has a backslash in no other character.
    """
    form = source.get("format")
    for key in _ONLY_CSV if isinstance(form, str) and form != "csv" else ():
        if source.get(key) is not None:
            yield Issue(("source", key), f"the format {form} does not have it", "remove it, or set format: csv")
    if {"header", "header_file"} <= source.keys():
        yield Issue(("source", "header_file"), "header and header_file exclude each other", "keep one of the two")
    yield from _character_issues(source)
    if source.get("escape") == "\\" and not keeps_syntax:
        reason = f"{source['encoding']} writes letters with a byte that is the escape elsewhere"
        yield Issue(("source", "escape"), reason, "use UTF-8 files, or remove it")


def _character_issues(source: Raw) -> Iterator[Issue]:
    """Characters of CSV's syntax that are no single byte, or the same as another one."""
    written = {key: _characters(source.get(key, _DEFAULTS.get(key))) for key in _SYNTAX_KEYS}
    encoding = source.get("encoding", "utf-8")
    for key, characters in written.items():
        if any(not _is_a_byte(character, encoding) for character in characters):
            reason = f"{source[key]!r} ends a line, or is not a single byte in {encoding}"
            yield Issue(("source", key), reason, "write a character of ASCII, as in ; or \\t")
    for one, other in combinations(_SYNTAX_KEYS, 2):
        if set(written[one]) & set(written[other]):
            key = other if one not in source or other not in _DEFAULTS else one
            fix = f"write another one{'; quote: null if there is none' if 'quote' in (one, other) else ''}"
            yield Issue(("source", key), f"{one} and {other} are the same", fix)


def _characters(value: Any) -> str:
    """The characters that a value of `separator`, `quote` … stands for; none where it is not valid."""
    if value == WHITESPACE:
        return BLANKS
    value = "\t" if value == "\\t" else value
    return value if isinstance(value, str) and len(value) == 1 else ""


def _is_a_byte(character: str, encoding: Any) -> bool:
    """Whether a character is a single byte that does not end a line; True where the encoding can't be one of text."""
    try:
        if "\n".encode(encoding) != b"\n":
            return True  # the encoding is what has to change, and its own rule says so
        return len(character.encode(encoding)) == 1 and character not in "\r\n"
    except UnicodeEncodeError:
        return False
    except (LookupError, UnicodeError, TypeError):
        return True
