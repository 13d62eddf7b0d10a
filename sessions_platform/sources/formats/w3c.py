"""W3C extended log files, as IIS and CloudFront write them: a record is a line, its fields are named by a directive.

``#Fields:`` names the fields of the lines below it, up to the next one: servers repeat it after a restart, and with
other fields after a change of their settings. So each row has the directive that applies to it as its header. Lines
that begin with # are rows, too, and skipped as comments (``FormatEntry.comment``).

Fields are separated by single tabs in a line that has a tab, else by single spaces. ``-`` is null. A value in quotes,
doubled within it, may contain separators; a quote elsewhere means itself. Not here: what servers encode within a value,
such as %20 or +.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain

import polars as pl

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.base import Content, Decoder, Fields, RecordBlock
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.text_records import decoded, lines, text_decoder, whole_lines

NULL = "-"
COMMENT = "#"
_DIRECTIVE = b"#Fields:"


class W3cFormat:
    """W3C extended log files in the encoding that a stream states."""

    def __init__(self, options: FormatOptions) -> None:
        self._options = options

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """Each line, the empty ones and the directives too, under the directive that names its fields."""
        current: bytes | None = None
        for block in chain.from_iterable(map(lines, whole_lines(content.text(), block_bytes))):
            directives = block.payloads.bin.starts_with(_DIRECTIVE)
            if not directives.any():
                yield block._replace(header=current)
                continue
            stated = pl.select(pl.when(pl.lit(directives)).then(pl.lit(block.payloads))).to_series()
            headers = stated.fill_null(strategy="forward").fill_null(pl.lit(current, pl.Binary))
            yield block._replace(header=headers)
            current = headers[-1]

    def decoder(self) -> Decoder:
        """A function from a line and its directive to its fields, all of them text or None."""
        names_under = field_names(self._options)
        text_of = text_decoder(self._options)

        def decode(payload: bytes, header: bytes | None) -> Fields:
            if not payload or payload.startswith(COMMENT.encode()):
                raise MalformedError("is a comment" if payload else "is an empty line")
            names, values = names_under(header), _values(text_of(payload))
            if len(names) != len(values):
                raise MalformedError(f"the row has {len(values)} fields, #Fields: names {len(names)}")
            return {name: None if value == NULL else value for name, value in zip(names, values, strict=True)}

        return decode


def field_names(options: FormatOptions) -> Callable[[bytes | None], list[str]]:
    """A function from a directive to the names that it lists. It raises MalformedError."""

    def names_under(header: bytes | None) -> list[str]:
        if header is None:
            raise MalformedError("has no #Fields: above it that names its fields")
        names = decoded(header.removeprefix(_DIRECTIVE), options.encoding).split()
        if len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            raise MalformedError(f"#Fields: names {repeated!r} twice".replace("\0", "\\u0000"))
        return names

    return lru_cache(maxsize=64)(names_under)


def separator_of(line: str) -> str:
    """What separates the fields of a line."""
    return "\t" if "\t" in line else " "


def _values(line: str) -> list[str]:
    separator = separator_of(line)
    if '"' not in line:
        return line.split(separator)
    cut = _IN_QUOTES[separator].findall(line + separator)
    return [quoted.replace('""', '"') or bare for quoted, bare in cut]


# A value in quotes that a separator follows, or all up to the next separator.
_IN_QUOTES = {
    separator: re.compile(f'(?:"((?>[^"]*(?:""[^"]*)*))"|([^{separator}]*)){separator}') for separator in "\t "
}
