"""No byte is lost, whatever a file contains: it is in an event, a rejected row, a duplicate or a quarantined file."""

import bz2
import gzip
import lzma
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lz4.frame
import polars as pl
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.pipeline.raw_files import BytesLostError
from sessions_platform.settings import Settings
from sessions_platform.sources.files.reader import FileReading
from sessions_platform.sources.formats import ndjson, text_records
from sessions_platform.sources.formats.base import RecordBlock
from sessions_platform.sources.formats.csv import RecordSplitter
from sessions_platform.transforms.parse import vectorized
from sessions_platform_tests.ingested import DAY, ingest_and_publish, open_folder, validate_file
from sessions_platform_tests.streams import stream

NDJSON = stream()
CSV = stream(source={"files": "*", "format": "csv"})
HEADER = b"id,user,ts,type,url\n"


def ndjson_line(number: int) -> bytes:
    return b'{"id":"%d","user":"ann","ts":"2026-01-01T12:00:00Z","type":"view","url":"http://x/\xc3\xa9"}' % number


def csv_line(number: int) -> bytes:
    return b'%d,ann,2026-01-01T12:00:00Z,"view","a ""page"", or\r\ntwo"' % number


# Any mixture of good lines and broken ones

PLACES = st.integers(0, 200)
HOSTILE = st.sampled_from(
    [b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b'"', b",", b"{", b"}", b"NaN", b"\\ud800", b"[" * 300]
)


@st.composite
def mutated(draw: st.DrawFn, line: Callable[[int], bytes]) -> bytes:
    """A line that was flipped, cut, spliced with another, doubled or had something put in; or none of it."""
    here, other = line(draw(st.integers(0, 3))), line(draw(st.integers(0, 3)))
    at = draw(PLACES) % len(here)
    return draw(
        st.sampled_from(
            [
                here,
                here,
                here[:at],
                here[at:],
                here[:at] + bytes([here[at] ^ 1 << draw(st.integers(0, 7))]) + here[at + 1 :],
                here[:at] + other[draw(PLACES) % len(other) :],
                here + other,
                here[:at] + draw(HOSTILE) + here[at:],
            ]
        )
    )


def files(line: Callable[[int], bytes], beginning: bytes = b"") -> st.SearchStrategy[bytes]:
    ended = st.tuples(mutated(line), st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n"])).map(b"".join)
    begin = st.sampled_from([beginning, beginning, b"\xef\xbb\xbf" + beginning])
    return st.tuples(begin, st.lists(ended, max_size=8).map(b"".join), mutated(line) | st.just(b"")).map(b"".join)


PACKED: Sequence[Callable[[bytes], bytes]] = (
    lambda text: text,
    lambda text: gzip.compress(text, mtime=0),
    lambda text: gzip.compress(text, mtime=0)[:-7],
    zstandard.compress,
    lambda text: zstandard.compress(text)[:-2],
    bz2.compress,
    lambda text: lzma.compress(text)[:-20],
    lambda text: lz4.frame.compress(text)[:-3],
)


@pytest.fixture(autouse=True, scope="module", params=["on", "off"])
def with_and_without_the_scanner(request: pytest.FixtureRequest) -> Iterator[None]:
    """Also for a few rows, which would be parsed one by one otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SESSIONS_SCANNER", request.param)
        patch.setattr(vectorized, "MIN_ROWS", 1)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One path for all: hypothesis forbids a fixture for each example."""
    return tmp_path_factory.mktemp("landing") / "file"


@settings(max_examples=50)
@given(files(ndjson_line), st.sampled_from(PACKED))
def test_nothing_of_an_ndjson_file_is_lost(place: Path, text: bytes, packed: Callable[[bytes], bytes]) -> None:
    validate_file(place, packed(text), NDJSON)


@settings(max_examples=50)
@given(files(csv_line, HEADER), st.sampled_from(PACKED))
def test_nothing_of_a_csv_file_is_lost(place: Path, text: bytes, packed: Callable[[bytes], bytes]) -> None:
    validate_file(place, packed(text), CSV)


def test_good_lines_among_broken_ones_are_events(place: Path) -> None:
    """The properties above would be kept too if everything were rejected."""
    content = b"\n".join([ndjson_line(1), b"broken", ndjson_line(2), ndjson_line(2), b"", ndjson_line(3)[:-1]])
    taken = validate_file(place, content, NDJSON)
    assert taken.events["event_id"].to_list() == ["1", "2"]
    assert (taken.rejected["position"].to_list(), taken.duplicates) == ([2, 5, 6], 1)
    content = HEADER + b"\n".join([csv_line(1), b'9,"open', csv_line(2), b"1,2", csv_line(3)])
    taken = validate_file(place, content, CSV)
    assert taken.events["event_id"].to_list() == ["1", "2", "3"]
    assert taken.events["page_url"].unique().to_list() == ['a "page", or\r\ntwo']
    assert taken.rejected["position"].to_list() == [2, 4]


def test_the_last_line_of_a_file_that_breaks_off_is_no_row(place: Path) -> None:
    """Cut short, a CSV record may well parse, with a wrong value."""
    of = stream(source={"files": "*", "format": "csv"}, columns={**CSV_COLUMNS, "amount": {"type": "integer"}})
    text = b"user,ts,type,amount\n" + b"".join(b"ann,2026-01-01T12:00:00Z,buy,%d\n" % (n**9) for n in range(99))
    packed = gzip.compress(text, mtime=0)
    for cut in range(30, len(packed), 37):
        taken = validate_file(place, packed[:cut], of)
        assert taken.rejected.height == 1
        assert set(taken.events["amount"]) <= {n**9 for n in range(99)}


CSV_COLUMNS: dict[str, Any] = {
    "user_id": {"from": "user"},
    "event_timestamp": {"from": "ts", "formats": ["%+"]},
    "event_type": {"from": "type"},
}


# These tests can fail: planted defects


def drop_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(text: bytes) -> Iterator[RecordBlock]:
        for block in text_records.lines(text):
            assert block.terminators is not None
            yield RecordBlock(block.payloads[:-1], block.terminators[:-1])

    monkeypatch.setattr(ndjson, "lines", forgetful)


def drop_a_carriage_return(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "lines", lambda text: text_records.lines(text.replace(b"\r\n", b"\n")))


def forget_the_bom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileReading, "_preamble_column", lambda *_: pl.lit(None, pl.Binary))


def drop_what_an_open_quote_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = RecordSplitter._record_ends

    def forgetful(self: RecordSplitter, text: bytes) -> tuple[Any, int]:
        return decide(self, text)[0], len(text)

    monkeypatch.setattr(RecordSplitter, "_record_ends", forgetful)


def drop_a_corrupt_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileReading, "_corrupt_row", lambda self, *_: self._frame(pl.Series([b"x"]), None, None)[:0])


def validate_the_cut_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def passing_over(texts: Any, _: int) -> Any:
        unfinished = b""
        try:
            for text in texts:
                unfinished += text
        finally:
            yield unfinished

    monkeypatch.setattr(ndjson, "whole_lines", passing_over)


THREE = b"\xef\xbb\xbf" + b"\r\n".join(map(ndjson_line, range(3)))
OPEN = HEADER + b'1,"open\n2,ann,2026-01-01T12:00:00Z,view,x\n'
DEFECTS = [
    (drop_a_line, THREE, NDJSON),
    (drop_a_carriage_return, THREE, NDJSON),
    (forget_the_bom, THREE, NDJSON),
    (drop_what_an_open_quote_spans, OPEN, CSV),
    (drop_a_corrupt_file, gzip.compress(THREE, mtime=0)[:-9], NDJSON),
    (drop_a_corrupt_file, b"\x1f\x8b no gzip", NDJSON),
    (validate_the_cut_line, gzip.compress(THREE, mtime=0)[:-12], NDJSON),
]


@pytest.mark.parametrize(("plant", "content", "of"), DEFECTS)
def test_a_planted_defect_is_found(
    place: Path, monkeypatch: pytest.MonkeyPatch, plant: Callable[..., None], content: bytes, of: Any
) -> None:
    validate_file(place, content, of)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        validate_file(place, content, of)


@pytest.mark.parametrize(
    ("plant", "content", "of"), [defect for defect in DEFECTS if defect[0] is not forget_the_bom][:3]
)
def test_a_lost_byte_stops_the_ingest(
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[..., None],
    content: bytes,
    of: Any,
) -> None:
    """Also in a run, before anything is recorded of the file."""
    (tmp_path / DAY).mkdir()
    (tmp_path / DAY / "file").write_bytes(content)
    context = open_folder(tmp_path, settings, source={"format": of.source.format})
    with monkeypatch.context() as defective:
        plant(defective)
        with pytest.raises(BytesLostError, match="2026-01-01/file: its rows have"):
            ingest_and_publish(context)
    assert ingest_and_publish(context).raw.height > 1
