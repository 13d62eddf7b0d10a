"""A further format, as a contributor would add one: query strings (a=1&b=2), each ended by a NUL.

The implementation is in this file; the tests put the one line into the table of formats.
"""

import gzip
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.formats import FORMATS, FormatEntry, FormatOptions, format_of_name
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.settings import Settings
from sessions_platform.sources.formats.base import Content, Decoder, Fields, RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError, MalformedError
from sessions_platform_tests.ingested import (
    DAY,
    ingest_and_publish,
    joined,
    open_folder,
    reading,
    rows_of,
    validate_file,
)
from sessions_platform_tests.pipeline.steps import refresh, table
from sessions_platform_tests.streams import stream

LONGEST = 1000


class QueryStrings:
    def __init__(self, options: FormatOptions) -> None:
        self._encoding = options.encoding

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:  # noqa: ARG002
        rest = b""
        for chunk in content.text():
            *payloads, rest = (rest + chunk).split(b"\0")
            yield _block(payloads, b"\0")
            if len(rest) > LONGEST:
                raise CorruptDataError(f"the rest of the file begins with a record of more than {LONGEST} bytes")
        if rest:
            yield _block([rest], b"")

    def decoder(self) -> Decoder:
        def decode(payload: bytes, _: bytes | None) -> Fields:
            try:
                return dict(parse_qsl(payload.decode(self._encoding), strict_parsing=True))
            except ValueError:
                raise MalformedError("is not a query string") from None

        return decode


def _block(payloads: list[bytes], terminator: bytes) -> RecordBlock:
    return RecordBlock(pl.Series(payloads, dtype=pl.Binary), pl.Series([terminator] * len(payloads), dtype=pl.Binary))


@pytest.fixture(scope="module", autouse=True)
def _in_the_table() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        entry = FormatEntry(f"{__name__}:QueryStrings", (".qs",), is_untyped=True)
        patch.setitem(FORMATS, "query_nul", entry)
        yield


def record(user: str, minute: int, name: str, **more: Any) -> bytes:
    more_fields = "".join(f"&{key}={value}" for key, value in more.items())
    return f"id={name}&user={user}&ts=2026-01-01T12:{minute:02}:00Z&type=view{more_fields}".encode()


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_file_becomes_sessions(tmp_path: Path, settings: Settings, compress: Any) -> None:
    records = [record("ann", minute, f"a{minute}", colour="red") for minute in range(50)]
    records[7:7] = [record("bob", 0, "b0"), b"nonsense", record("bob", 45, "b1"), record("ann", 3, "a3", colour="red")]
    content = b"\0".join(records)
    (tmp_path / DAY).mkdir()
    (tmp_path / DAY / "events.qs").write_bytes(compress(content))
    context = open_folder(tmp_path, settings, source={"format": "query_nul"})
    taken = ingest_and_publish(context)
    assert joined(taken.raw) == content
    assert (taken.events.height, taken.duplicates, taken.codes()) == (52, 1, ["malformed"])
    assert taken.rejected["payload"].to_list() == ["nonsense"]
    assert taken.events["properties"].drop_nulls().unique().to_list() == ['{"colour":"red"}']
    refresh(context)
    assert sorted((row["user_id"], row["event_count"]) for row in table(context)) == [
        ("ann", 50),
        ("bob", 1),
        ("bob", 1),
    ]


def test_many_rows_without_a_layout_are_parsed_one_by_one(tmp_path: Path) -> None:
    records = [record("ann", number % 60, f"a{number}") for number in range(1000)]
    taken = validate_file(tmp_path / "file", b"\0".join(records), stream(source={"files": "*", "format": "query_nul"}))
    assert taken.events.height == 1000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One path for all: hypothesis forbids a fixture for each example."""
    return tmp_path_factory.mktemp("landing") / "file"


PARTS = st.sampled_from([b"a=1", b"&", b"=", b"\0", b"\0\0", b"\n", b"\xff", b"\xef\xbb\xbf", record("ann", 1, "x")])


@given(st.lists(PARTS).map(b"".join), st.integers(1, 20))
def test_no_byte_of_a_file_is_lost(path: Path, content: bytes, block_bytes: int) -> None:
    rows = rows_of(reading(path, content, block_bytes, format="query_nul"))
    assert rows_of(reading(path, content, format="query_nul")).equals(rows)


def test_what_the_format_calls_corrupt_ends_the_file_with_a_row_that_says_why(path: Path) -> None:
    rows = rows_of_corrupt(path, b"a=1\0" + b"x" * (LONGEST + 1))
    assert rows["payload"][0] == b"a=1"
    assert "a record of more than 1000 bytes" in rows[-1, "corrupt_reason"]


def rows_of_corrupt(path: Path, content: bytes) -> pl.DataFrame:
    return pl.concat(itertools.chain(reading(path, content, format="query_nul")))


def test_its_suffix_is_known(tmp_path: Path) -> None:
    assert format_of_name("products.qs.gz") == "query_nul"
    described = "name: web\nstart: 2026-01-01\nsource: {files: a, format: %s}\ncolumns:\n  user_id: {}\n"
    described += "  event_timestamp: {formats: [epoch_s]}\n  event_type: {}\n"
    (tmp_path / "web.yaml").write_text(described % "query_nul")
    assert load_stream(tmp_path / "web.yaml", tmp_path).source.format == "query_nul"
    (tmp_path / "web.yaml").write_text(described % "yaml")
    with pytest.raises(StreamError, match=r"'yaml' is not allowed.*write 'ndjson', 'json', .* or 'query_nul'"):
        load_stream(tmp_path / "web.yaml", tmp_path)


def test_the_json_schema_lists_it() -> None:
    schema = Stream.model_json_schema()
    listed = schema["$defs"]["FilesSource"]["properties"]["format"]["enum"]
    assert (listed, listed[-1]) == ([*FORMATS], "query_nul")
