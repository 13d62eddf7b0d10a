"""The names of a CSV file's fields, where a file of their own has them, as column_headers.tsv of a data feed.

The file is read with the stream's, so that its names are part of the stream as if `header` listed them: a changed file
is a changed contract. Here is the first record of such a file; how landing files are read is in ``sources.formats``.
"""

import csv
from io import StringIO
from pathlib import Path
from typing import Any

from sessions_platform.contracts.csv_options import WHITESPACE
from sessions_platform.contracts.issues import Issue, Raw, mapping

_KEY_PATH = ("source", "header_file")
_LONGEST = 1_000_000  # bytes
_HOME = "${SESSIONS_HOME}/"


class _UnusableError(ValueError):
    """A file has no names; the message says why."""


def with_header_names(raw: Raw, folder: Path, home: Path) -> tuple[Raw, list[Issue]]:
    """A stream's file with the names of its `header_file` as its `header`; unchanged where it states none.

    Args:
        raw: the file as YAML has read it.
        folder: that a relative path starts from.
        home: what ${SESSIONS_HOME} means.

    Returns:
        The content, and an issue where the names can't be read.
    """
    source = mapping(raw, "source")
    file = source.get("header_file")
    if not isinstance(file, str) or not file or "header" in source:
        return raw, []
    path = home / file.removeprefix(_HOME) if file.startswith(_HOME) else folder / file
    try:
        return {**raw, "source": {**source, "header": _names(path, source)}}, []
    except OSError as error:
        reason = f"{path} can't be read: {error.strerror or error}"
    except _UnusableError as error:
        reason = f"{path} {error}"
    fix = "name a file whose first record has the names, each once, separated as the landing files are"
    return raw, [Issue(_KEY_PATH, reason, fix)]


def _names(path: Path, source: Raw) -> list[str]:
    """The fields of the file's first record."""
    if path.exists() and not path.is_file():
        raise _UnusableError("is no file")
    with path.open("rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise _UnusableError(f"has more than {_LONGEST:,} bytes")
    try:
        text = content.decode(source.get("encoding", "utf-8")).removeprefix("\ufeff")
        names = _fields(text, source)
    except (UnicodeError, LookupError, TypeError, csv.Error) as error:
        raise _UnusableError(f"is no CSV as this stream has it: {error}") from None
    if not names or not all(names):
        raise _UnusableError("has a field without a name")
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise _UnusableError(f"names {repeated!r} twice")
    return names


def _fields(text: str, source: Raw) -> list[str]:
    separator, quote = source.get("separator", ","), source.get("quote", '"')
    if separator == WHITESPACE:
        return text.partition("\n")[0].split()
    how: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if quote is None else {"quotechar": quote}
    delimiter = "\t" if separator == "\\t" else separator
    return next(csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True, **how), [])
