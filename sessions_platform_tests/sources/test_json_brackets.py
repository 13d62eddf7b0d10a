"""The brackets of a JSON text, 64 bytes at a time, are those that a loop over its bytes finds."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from sessions_platform.sources.formats.json_brackets import brackets

OPENING, CLOSING, SQUARE = b"{[", b"}]", b"[]"
BEFORE, BEHIND = b" \t\r\n{[,:\x1e", b" \t\r\n}],:\x1e"
TEXTS = st.lists(
    st.sampled_from([b'"', b'"', b"\\", b"\n", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\x1e", b"a", b"b" * 61])
).map(b"".join)


def escaped(text: bytes) -> set[int]:
    found: set[int] = set()
    for at, byte in enumerate(text):
        if byte == ord("\\") and at not in found:
            found.add(at + 1)
    return found


def in_a_loop(text: bytes, depth: int) -> tuple[list[tuple[int, bool, bool, int]], list[int]]:
    """Offset, opens, square and level of each bracket; and the misplaced quotes."""
    inside, found, misplaced, data = False, [], [], escaped(text)
    for at, byte in enumerate(text):
        if byte == ord('"') and at not in data:
            inside = not inside
            beside, possible = (at - 1, BEFORE) if inside else (at + 1, BEHIND)
            if 0 <= beside < len(text) and text[beside] not in possible:
                misplaced.append(at)
        elif byte == ord("\n"):
            inside = False
        elif byte in OPENING + CLOSING and not inside:
            depth -= byte in CLOSING
            found.append((at, byte in OPENING, byte in SQUARE, depth))
            depth += byte in OPENING
    return found, misplaced


@given(TEXTS, st.integers(0, 2))
@example(b'{"a": "\\\\"}' + b" " * 52 + b'["\\"]"]', 0)
@example(b'"' * 64 + b"\n" + b'"{' * 70, 1)
def test_brackets_are_those_outside_of_strings(text: bytes, depth: int) -> None:
    marks = brackets(text, depth)
    columns = (marks.at, marks.opens, marks.square, marks.level)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    assert (rows, marks.misplaced.tolist()) == in_a_loop(text, depth)
    assert marks.newlines.tolist() == np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")).tolist()
