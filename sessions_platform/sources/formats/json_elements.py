"""The records of a text that are elements of JSON arrays, found for a whole block of text at once.

A *document* is a JSON value that is in no other. Its array is found by the keys that lead to it; the record of a
document without such an array is the document. Where the keys lead through another array (`EACH_ITEM`), each of its
items has an array of records, and an envelope of its own. What is between records (brackets, commas, the fields of an
envelope) is not validated: commas may lack. How a text is cut into blocks is in `json_documents` and `json_batches`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, starmap
from typing import NamedTuple

import numpy as np
import polars as pl

from sessions_platform.contracts.formats import EACH_ITEM
from sessions_platform.sources.formats.json_brackets import Brackets, Offsets, brackets

_BETWEEN = np.zeros(256, bool)
_BETWEEN[list(b" \t\r\n,\x1e")] = True  # U+001E begins a document in RFC 7464
_SCALAR = re.compile(rb'"(?:[^"\\\n]|\\.)*"?|[^\s,"\x1e][^,\n"]*')
# The longest white space around a key that is found.
_KEY_SPACE = 64
_OPEN = np.iinfo(np.int64).max


class State(NamedTuple):
    """Where a text begins: how deep in a document, and the envelope of the array that it is in or behind."""

    depth: int = 0
    header: bytes | None = None


class Found(NamedTuple):
    """The records of a text, in its order.

    Attributes:
        starts, ends: their offsets.
        header: for each the number of its header in `headers`.
        headers: the envelopes: documents without the elements of their array; None for a record in no array.
        in_array: for each whether it is an element of an array.
        broken: where the first value begins that isn't closed, or not as it was opened; None if there is none. No
            record begins behind it.
        unpaired: where all such values begin.
        broken_header: the number of that value's header; `broken_in_array`: whether it is an element.
        open_document: where a document begins that isn't closed; -1 where that is before the text; None if all are.
    """

    starts: Offsets
    ends: Offsets
    header: Offsets
    headers: list[bytes | None]
    in_array: np.ndarray
    broken: int | None
    unpaired: Offsets
    broken_header: int
    broken_in_array: bool
    open_document: int | None

    @property
    def header_of_each(self) -> pl.Series:
        """The header of each record (Binary); those of one array are one text in memory."""
        return headers_of(self.headers).gather(self.header)

    def first(self, count: int) -> "Found":
        """The first records alone."""
        parts = {name: getattr(self, name)[:count] for name in ("starts", "ends", "header", "in_array")}
        return self._replace(**parts)


class ElementFinder:
    """Finds the elements of the arrays that these keys lead to; without keys, of documents that are arrays.

    Attributes:
        passed: the levels of the arrays that the keys lead through, outermost first.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._depth = len(keys)
        self._keys = [re.compile(rb"[{,]\s*" + re.escape(quoted_key(key)) + rb"\s*:\s*\Z") for key in keys]
        self._key_bytes = [len(quoted_key(key)) + 2 * _KEY_SPACE for key in keys]
        self.passed = [level for level, key in enumerate(keys) if key == EACH_ITEM]

    @property
    def depth(self) -> int:
        """How deep in its document an element is."""
        return self._depth + 1

    def find(self, text: bytes, state: State, marks: Brackets | None = None) -> Found:
        """The records of a text that begins between two records; `marks` are its brackets where they are known."""
        found = brackets(text, state.depth) if marks is None else marks
        below = np.flatnonzero(found.level < 0)
        stray = int(found.at[below[0]]) if len(below) else None
        if stray is not None:
            found = found.first(int(below[0]))
        return _Search(text, found, state, self, stray).found()

    def key_before(self, text: bytes, at: int, level: int) -> bool:
        """Whether the key in front of this offset is the one that leads from this level to the next.

        An item of an array has none.
        """
        return (
            level in self.passed or self._keys[level].search(text[max(0, at - self._key_bytes[level]) : at]) is not None
        )


class _Search:
    """One search through the brackets of a text."""

    def __init__(self, text: bytes, marks: Brackets, state: State, finder: ElementFinder, stray: int | None) -> None:
        self._text, self._marks, self._state, self._finder, self._stray = text, marks, state, finder, stray
        self._arrays, self._array_ends = self._array_brackets()
        self._documents, self._document_ends = self._pairs(0, state.depth > 0)

    def found(self) -> Found:
        headers, header_of_array = self._headers()
        elements = self._elements()
        records = [(*self._spans(*elements[:2]), elements[2], np.ones(len(elements[0]), bool))]
        whole = self._without_array()
        records.append((*self._spans(*whole), np.full(len(whole[0]), -1), np.zeros(len(whole[0]), bool)))
        records += list(self._scalars())
        starts, ends, arrays, in_array = (np.concatenate(part) for part in zip(*records, strict=True))
        order = np.argsort(starts, kind="stable")
        starts, ends, arrays, in_array = starts[order], ends[order], arrays[order], in_array[order]
        header = np.where(arrays < 0, 0, header_of_array[arrays] if len(header_of_array) else 0)
        unpaired = self._unpaired(*elements[:2]), self._unpaired(*whole)
        broken, broken_array = self._broken(*unpaired)
        keep = slice(None) if broken is None else slice(0, int(np.searchsorted(starts, broken)))
        return Found(
            starts[keep],
            ends[keep],
            header[keep],
            headers,
            in_array[keep],
            broken,
            self._marks.at[np.concatenate(unpaired)],
            0 if broken_array < 0 else int(header_of_array[broken_array]),
            broken_array >= 0,
            self._open_document(),
        )

    # Arrays ----------------------------------------------------------------------------------------------

    def _array_brackets(self) -> tuple[Offsets, Offsets]:
        """The brackets that open and close the arrays; -1 where one is open from the beginning, `_OPEN` to the end."""
        marks, depth = self._marks, self._finder.depth - 1
        candidates = self._arrays_at(depth)
        if self._state.depth == depth + 1:
            candidates = np.append(-1, candidates)
        closing = np.append(np.flatnonzero(~marks.opens & (marks.level == depth)), _OPEN)
        return candidates, closing[np.searchsorted(closing, candidates, side="right")]

    def _arrays_at(self, level: int) -> Offsets:
        """The opening brackets of the arrays at a level to which the keys lead."""
        marks = self._marks
        candidates = np.flatnonzero(marks.opens & marks.square & (marks.level == level))
        above = [np.flatnonzero(marks.opens & (marks.level == each)) for each in range(level)]
        return self._led_to(candidates, above)

    def _led_to(self, brackets: Offsets, above: list[Offsets]) -> Offsets:
        """Those brackets that open a value to which the keys lead; `above` are the opening brackets by level."""
        outer = brackets
        for level in range(len(above) - 1, -1, -1):
            number = np.searchsorted(above[level], outer) - 1
            offsets = self._marks.at[outer].tolist()
            is_led_to = [self._finder.key_before(self._text, offset, level) for offset in offsets]
            led_to = np.array(is_led_to, bool) & (number >= 0)
            brackets, outer = brackets[led_to], above[level][number[led_to]]
            is_entered = self._marks.square[outer] == (level in self._finder.passed)
            brackets, outer = brackets[is_entered], outer[is_entered]
        return brackets

    def _pairs(self, level: int, begun: bool) -> tuple[Offsets, Offsets]:
        """The brackets of all values at a level; `_OPEN` for one that isn't closed."""
        marks = self._marks
        at_level = marks.level == level
        opening = np.flatnonzero(marks.opens & at_level)
        closing = np.flatnonzero(~marks.opens & at_level)
        if begun:
            opening = np.append(-1, opening)
        return opening, np.append(closing, _OPEN)[: len(opening)]

    def _headers(self) -> tuple[list[bytes | None], Offsets]:
        """None and the envelope of each array; and for each array the number of its envelope."""
        if self._finder.depth == 1:
            return [None], np.zeros(len(self._arrays), np.int64)
        document = np.searchsorted(self._documents, self._arrays, side="right") - 1
        bounds = list(zip(*(each.tolist() for each in self._around_passed()), strict=True)) or [()] * len(document)
        arrays = zip(self._arrays.tolist(), self._array_ends.tolist(), document.tolist(), bounds, strict=True)
        headers: list[bytes | None] = [None, *starmap(self._header, arrays)]
        return headers, np.arange(1, len(self._arrays) + 1)

    def _header(self, opening: int, closing: int, document: int, left_out: tuple[int, ...]) -> bytes | None:
        start, end = int(self._documents[document]), int(self._document_ends[document])
        if start < 0:
            return self._state.header
        at = self._marks.at
        if _OPEN in (end, closing):
            return self._text[at[start] : at[opening] + 1] + b"]" + b"}" * (self._finder.depth - 1)
        half = len(left_out) // 2
        bounds = [at[start], *left_out[:half], at[opening] + 1, at[closing], *left_out[half:], at[end] + 1]
        return b"".join(self._text[first:second] for first, second in list(pairwise(bounds))[::2])

    def _around_passed(self) -> list[Offsets]:
        """What is left out of the envelope of each array, as bounds: the other items of arrays that are led through."""
        pairs = [(self._brackets_around(level), self._brackets_around(level + 1)) for level in self._finder.passed]
        before = [bounds for array, item in pairs for bounds in (array[0], item[0])]
        behind = [bounds + 1 for array, item in reversed(pairs) for bounds in (item[1], array[1])]
        return before + behind

    def _brackets_around(self, level: int) -> tuple[Offsets, Offsets]:
        """The offsets of the brackets of the value at this level that each array is in; any where that isn't closed."""
        marks, at_level = self._marks, self._marks.level == level
        opening, closing = np.flatnonzero(marks.opens & at_level), np.flatnonzero(~marks.opens & at_level)
        before = opening[np.searchsorted(opening, self._arrays) - 1]
        behind = np.append(closing, 0)[np.searchsorted(closing, self._arrays)]
        return marks.at[before], marks.at[behind]

    # Records ---------------------------------------------------------------------------------------------

    def _elements(self) -> tuple[Offsets, Offsets, Offsets]:
        """The brackets of the arrays' elements, and the number of each one's array."""
        opening, closing = self._pairs(self._finder.depth, False)
        array = np.searchsorted(self._arrays, opening, side="right") - 1
        inside = array >= 0
        inside[inside] = opening[inside] < self._array_ends[array[inside]]
        return opening[inside], closing[inside], array[inside]

    def _without_array(self) -> tuple[Offsets, Offsets]:
        """The brackets of documents in which there is no array, nor an empty one that leads to it."""
        known = self._documents >= 0
        opening, closing = self._documents[known], self._document_ends[known]
        following = np.searchsorted(self._arrays, opening)
        next_array = np.append(self._arrays, _OPEN)[following]
        without = next_array >= closing
        if self._finder.passed:
            passed = self._arrays_at(self._finder.passed[0])
            empty = passed[~np.append(self._marks.opens, True)[passed + 1]]
            without &= np.append(empty, _OPEN)[np.searchsorted(empty, opening)] >= closing
        return opening[without], closing[without]

    def _spans(self, opening: Offsets, closing: Offsets) -> tuple[Offsets, Offsets]:
        closed = closing != _OPEN
        return self._marks.at[opening[closed]], self._marks.at[closing[closed]] + 1

    def _scalars(self) -> Iterator[tuple[Offsets, Offsets, Offsets, np.ndarray]]:
        """What is between elements, or documents, and is neither a comma nor white space."""
        opening, closing, _ = self._elements()
        at = np.append(self._marks.at, [_OPEN])
        behind = [self._offsets_behind(self._arrays), self._offsets_behind(closing[closing != _OPEN])]
        before = [at[opening], at[np.minimum(self._array_ends, len(at) - 1)]]
        yield self._scalars_in(np.sort(np.concatenate(behind)), np.sort(np.concatenate(before)), True)
        starts = self._offsets_behind(self._document_ends[self._document_ends != _OPEN])
        if not self._state.depth:
            starts = np.append(0, starts)
        ends = at[self._documents[self._documents >= 0]]
        ends = np.append(ends, len(self._text) if self._stray is None else self._stray)
        yield self._scalars_in(starts, ends[: len(starts)], False)

    def _offsets_behind(self, marks: Offsets) -> Offsets:
        return np.where(marks < 0, 0, self._marks.at[marks] + 1) if len(self._marks.at) else marks + 1

    def _scalars_in(
        self, starts: Offsets, ends: Offsets, in_array: bool
    ) -> tuple[Offsets, Offsets, Offsets, np.ndarray]:
        ends = ends[: len(starts)]
        open_end = ends == _OPEN
        lengths = np.where(open_end, 0, ends - starts)
        offsets = np.arange(int(lengths.sum())) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        unusual = offsets[~_BETWEEN[np.frombuffer(self._text, np.uint8)[offsets]]]
        spans: list[tuple[int, int]] = []
        for gap in np.unique(np.searchsorted(starts, unusual, side="right") - 1).tolist():
            for scalar in _SCALAR.finditer(self._text, int(starts[gap]), int(ends[gap])):
                spans.append((scalar.start(), scalar.start() + len(scalar[0].rstrip())))
        at = np.array(spans, np.int64).reshape(-1, 2)
        arrays = np.full(len(at), -1)
        if in_array:
            array_starts = self._offsets_behind(self._arrays)
            arrays = np.searchsorted(array_starts, at[:, 0], side="right") - 1
        return at[:, 0], at[:, 1], arrays, np.full(len(at), in_array)

    # The end ---------------------------------------------------------------------------------------------

    def _broken(self, elements: Offsets, whole: Offsets) -> tuple[int | None, int]:
        """The offset of the first value that is not closed, or not as it was opened; and its array, or -1."""
        first = min(((int(each[0]), kind) for each, kind in ((elements, 1), (whole, 0)) if len(each)), default=None)
        if first is None:
            return (self._stray, -1)
        bracket, kind = first
        array = int(np.searchsorted(self._arrays, bracket, side="right") - 1) if kind else -1
        return int(self._marks.at[bracket]), array

    def _unpaired(self, opening: Offsets, closing: Offsets) -> Offsets:
        """The opening brackets of values that are not closed, or not as they were opened, or have a misplaced quote."""
        unpaired = closing == _OPEN
        square, closed = self._marks.square, ~unpaired
        unpaired[closed] = square[opening[closed]] != square[closing[closed]]
        if len(self._marks.misplaced):
            unpaired[self._with_misplaced(*self._spans(opening, closing))] = True
        return opening[unpaired]

    def _with_misplaced(self, starts: Offsets, ends: Offsets) -> Offsets:
        """The numbers of the values that have a misplaced quote inside."""
        misplaced = self._marks.misplaced
        value = np.searchsorted(starts, misplaced, side="right") - 1
        inside = value >= 0
        inside[inside] = misplaced[inside] < ends[value[inside]]
        return np.unique(value[inside])

    def _open_document(self) -> int | None:
        if not len(self._document_ends) or self._document_ends[-1] != _OPEN:
            return None
        document = int(self._documents[-1])
        return -1 if document < 0 else int(self._marks.at[document])


def headers_of(headers: Sequence[bytes | None]) -> pl.Series:
    """Headers as a series (Binary)."""
    return pl.Series(headers, dtype=pl.Binary)


def quoted_key(key: str) -> bytes:
    """A key as JSON writes it without escapes that it does not need."""
    return json.dumps(key, ensure_ascii=False).encode()
