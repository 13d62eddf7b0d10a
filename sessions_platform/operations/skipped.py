"""What a source says that it can't read, as a document and in sentences.

A source of files or objects skips some of them. One of a server skips nothing as a whole: it states doubts, such as
rows without a cursor or messages that are gone, which are said as they are. Not here: what is skipped, and why
(`sources`).
"""

from collections import Counter
from typing import Any

from sessions_platform.sources.base import Found

_SHOWN = 10
_IN_SENTENCE = 3
_SKIPPED_AS_A_WHOLE = ("file", "object")


def skipped_files(found: Found) -> dict[str, Any]:
    """How many files were skipped, in all and by reason, and a few of them with each reason."""
    by_reason = Counter(skip.reason for skip in found.skipped)
    first = _first_skipped(found, _SHOWN)
    return {"count": len(found.skipped), "by_reason": dict(sorted(by_reason.items())), "first": first}


def skipped_sentence(found: Found, noun: str) -> str:
    """How many files were skipped, with a few of them and why, or what a server's source says; empty where nothing.

    Args:
        found: what there is in the source.
        noun: of the source.
    """
    if not found.skipped:
        return ""
    first = "; ".join(_first_skipped(found, _IN_SENTENCE))
    said = were_skipped(noun, len(found.skipped))
    return f"{said}, which `status` lists: {first}" if said else first


def were_skipped(noun: str, count: int) -> str:
    """That so many of a source's files or objects were skipped. A server's source skips nothing as a whole: empty."""
    return f"{count} {noun}s were skipped" if noun in _SKIPPED_AS_A_WHOLE else ""


def _first_skipped(found: Found, most: int) -> list[str]:
    """The first files with each reason, then the second ones, and so on; those shown are in order."""
    seen: Counter[str] = Counter()
    numbered: list[tuple[int, str]] = []
    for skip in found.skipped:
        seen[skip.reason] += 1
        numbered.append((seen[skip.reason], f"{skip.place}: {skip.reason}"))
    return sorted(text for _, text in sorted(numbered)[:most])
