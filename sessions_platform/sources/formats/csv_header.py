"""Whether the first record of a CSV file is a header at all.

A file without the line ends that are expected, without a header, or of bytes that are no text has a first record, too:
taken for its header, that would be the loss of it, or of all rows, in silence.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.contracts.values import shown
from sessions_platform.sources.formats.csv_fields import field_splitter
from sessions_platform.sources.formats.errors import CorruptDataError, MalformedError

# Of a header as many bytes as can be shown, and of the needed fields as many letters.
_BYTES_SHOWN = 160
_NEEDED_SHOWN = 120
# Usual ones, and how YAML has them.
_SEPARATORS = {",": "','", ";": "';'", "\t": "'\\t'", "|": "'|'"}


def check_header(header: bytes, options: FormatOptions, required: Mapping[str, Sequence[str]]) -> None:
    """Raise CorruptDataError where a record can't be a header, with what it is, what is needed, and what to do.

    Args:
        header: the first record.
        options: of the stream.
        required: for each column that can't be null the fields that it may be read from; empty to require none.
    """
    if b"\0" in header:
        raise _no_header(header, options, "contains NUL", "deliver text, in the encoding that the stream states")
    if b"\r" in _outside_of_quotes(header, options):
        fix = "set line_end: auto if its lines end so" if options.line_end == "lf" else "end its lines with LF"
        raise _no_header(header, options, "contains a CR", fix)
    wanted = {field for fields in required.values() for field in fields}
    if wanted and wanted.isdisjoint(_names(header, options)):
        needed = ", ".join(sorted(wanted))
        needed = needed if len(needed) <= _NEEDED_SHOWN else f"{needed[:_NEEDED_SHOWN]}…"
        fix = _other_separator(header, options, wanted) or (
            "list the names in header if it is a row, or correct separator, line_end or the columns' from"
        )
        raise _no_header(header, options, f"names none of the fields that are needed ({needed})", fix)


def _other_separator(header: bytes, options: FormatOptions, wanted: set[str]) -> str | None:
    """The fix where another separator cuts the record into names that are needed."""
    for separator, spelled in _SEPARATORS.items():
        with suppress(CorruptDataError):
            if not wanted.isdisjoint(_names(header, options.model_copy(update={"separator": separator}))):
                return f"write separator: {spelled}, with which it does"
    return None


def _names(header: bytes, options: FormatOptions) -> list[str]:
    """The names, which may be repeated: rows are rejected for that."""
    try:
        return field_splitter(options)(header)
    except MalformedError as error:
        fix = "correct encoding, separator or quote, or deliver a CSV file"
        raise _no_header(header, options, str(error), fix) from None


def _outside_of_quotes(header: bytes, options: FormatOptions) -> bytes:
    if options.quote is None:
        return header
    quote = re.escape(options.quote.encode(options.encoding))
    return re.sub(b"%b[^%b]*%b" % (quote, quote, quote), b"", header)


def _no_header(header: bytes, options: FormatOptions, reason: str, fix: str) -> CorruptDataError:
    beginning = shown(header[:_BYTES_SHOWN].decode(options.encoding, "replace"))
    return CorruptDataError(f"its first record, the header, {reason}: {beginning}. Fix: {fix}")
