"""JSON whose path to the events leads through arrays: as the same documents one a line, however they are written."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.files.told_by import Text
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.registry import open_format

Record = tuple[bytes, bytes | None]
NAMES = st.text('a"[]{},é\n', max_size=4)
INNER = st.fixed_dictionaries(
    {"name": NAMES}, optional={"b": st.lists(st.dictionaries(NAMES, NAMES, max_size=2), max_size=3)}
)
DOCUMENTS = st.lists(st.fixed_dictionaries({"id": NAMES}, optional={"a": st.lists(INNER, max_size=3)}), max_size=4)


class Chunks(Text):
    """A text in chunks of a few bytes."""

    def text(self) -> Iterator[bytes]:
        (whole,) = super().text()
        yield from (whole[at : at + 7] for at in range(0, len(whole), 7))


def records(file_format: str, events: str, text: bytes, block_bytes: int = 64) -> tuple[list[Record], bytes, str]:
    """The records with their headers, all bytes of blocks, and why the text broke off."""
    options = FormatOptions.model_validate({"format": file_format, "events": events})
    found: list[Record] = []
    parts, reason = [], ""
    try:
        for block in open_format(options).records(Chunks(text), block_bytes):
            assert block.terminators is not None
            headers = [None] * len(block.payloads) if block.header is None else list(block.header)
            found += zip(block.payloads, headers, strict=True)
            parts += [block.preamble, *chain.from_iterable(zip(block.payloads, block.terminators, strict=True))]
    except CorruptDataError as corrupt:
        reason = str(corrupt)
    return found, b"".join(parts), reason


def meant(found: list[Record]) -> list[tuple[Any, Any]]:
    return [(json.loads(payload), header and json.loads(header)) for payload, header in found]


@pytest.mark.parametrize("events", ["a[].b", "[].a"])
@settings(max_examples=40, deadline=None)
@given(documents=DOCUMENTS, indent=st.none() | st.integers(0, 2), is_array=st.booleans(), block=st.integers(1, 200))
def test_it_is_read_as_lines_of_the_same_documents(
    events: str, documents: list[Any], indent: int | None, is_array: bool, block: int
) -> None:
    is_array = is_array or events.startswith("[]")
    lines = b"".join(json.dumps([each] if events.startswith("[]") else each).encode() + b"\n" for each in documents)
    written = [json.dumps(each, indent=indent) for each in documents]
    text = json.dumps(documents, indent=indent).encode() if is_array else "\n".join(written).encode()
    found, joined, reason = records("json", events, text, block)
    as_lines, _, _ = records("ndjson", events, lines)
    whole = [pair for pair in meant(as_lines) if pair[1] is None]
    assert (joined, reason) == (text, "")
    assert [pair for pair in meant(found) if pair[1] is not None] == [
        pair for pair in meant(as_lines) if pair[1] is not None
    ]
    assert len([pair for pair in meant(found) if pair[1] is None]) == len(whole)


def test_a_document_that_is_broken_is_one_record_and_costs_no_other() -> None:
    text = b'[{"id": 1, "a": [{"b": 1}]},\n {"id": 2, "a": [{"b": ]},\n {"id": 3, "a": [{"b": 3}]}]'
    found, joined, _ = records("json", "[].a", text)
    assert joined == text
    assert [payload for payload, header in found if header is not None] == [b'{"b": 1}', b'{"b": 3}']


def test_a_document_that_is_cut_off_ends_the_file() -> None:
    found, joined, reason = records("json", "a[].b", b'{"a": [{"b": [1, 2]}]} {"a": [{"b": [3')
    assert reason == "it ends in the middle of a JSON document"
    assert b'{"a": [{"b": [1, 2]}]}' in joined
    assert [payload for payload, _ in found][:2] == [b"1", b"2"]
