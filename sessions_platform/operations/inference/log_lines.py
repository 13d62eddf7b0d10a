"""Lines of logs: access logs of known layouts, W3C extended log files, and logfmt.

Here: the patterns of logs that are recognized, and how. Not here: how lines are cut (`sources.formats`).
"""

import re
from collections.abc import Sequence
from typing import Any

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.base import decode_all
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.registry import open_format

Found = tuple[dict[str, Any], str, tuple[str, ...]]

_MOSTLY = 0.9
_LINES = 500
_PAIRS = re.compile(r'(?:^|\s)[^\s="]+=(?:"|\S)')
_REQUEST = r'"(?:(?P<method>[A-Za-z]+) (?P<url>[^" ]+)(?: (?P<protocol>[^" ]+))?|(?P<request>(?:[^"\\]|\\.)*))"'
_CLIENT = r"(?P<ip>\S+) (?P<ident>\S+) (?P<user>\S+)"
_TIME = r"\[(?P<time>[^\]]+)\]"
_ANSWER = r"(?P<status>\d{3}) (?P<bytes>\d+|-)"
_QUOTED = r'"(?P<{}>(?:[^"\\]|\\.)*)"'
_COMMON = rf"{_CLIENT} {_TIME} {_REQUEST} {_ANSWER}"
_COMBINED = rf"{_COMMON} {_QUOTED.format('referer')} {_QUOTED.format('agent')}"
_HOST = r"(?P<host>\S+) "
LAYOUTS = {
    "an access log in the combined format (Apache, nginx)": rf"^{_COMBINED}$",
    "an access log in the common format (Apache)": rf"^{_COMMON}$",
    "an access log in the combined format with the virtual host": rf"^{_HOST}{_COMBINED}$",
    "an access log in the common format with the virtual host": rf"^{_HOST}{_COMMON}$",
    "an access log in the combined format, with more behind it": rf"^{_COMBINED} (?P<more>.*)$",
}


def log_format(text: str, *, is_whole: bool) -> Found | None:
    """The options of lines of a log, what they are in words, and no notes; None where they are of no known layout."""
    lines = [line for line in text.splitlines() if line.strip()]
    lines = (lines if is_whole else lines[:-1])[:_LINES]
    if not lines:
        return None
    if any(line.startswith("#Fields:") for line in lines if line.startswith("#")):
        return {"format": "w3c"}, "a W3C extended log file, with its fields named by #Fields:", ()
    for says, pattern in LAYOUTS.items():
        options = {"format": "regex", "pattern": pattern}
        if _share_decoded(options, lines) >= _MOSTLY:
            return options, says, ()
    has_pairs = sum(len(_PAIRS.findall(line)) >= 2 for line in lines) >= _MOSTLY * len(lines)
    if has_pairs and _share_decoded({"format": "logfmt"}, lines) >= _MOSTLY:
        return {"format": "logfmt"}, "logfmt, pairs of names and values in each line", ()
    return None


def _share_decoded(options: dict[str, Any], lines: Sequence[str]) -> float:
    """The share of lines that can be decoded by these options."""
    decoder = open_format(FormatOptions.model_validate(options)).decoder()
    decoded = decode_all(decoder, [line.encode() for line in lines], [None] * len(lines))
    return sum(not isinstance(fields, MalformedError) for fields in decoded) / len(lines)
