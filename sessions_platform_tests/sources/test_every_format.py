"""What holds of every format in the table, whatever bytes a file has. A format is covered once it has samples."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.formats import FORMATS
from sessions_platform_tests.ingested import reading, rows_of, validate_file
from sessions_platform_tests.sources.format_samples import SAMPLES, Sample

EVERY_FORMAT = sorted(FORMATS)
EVERY_SAMPLE = [
    pytest.param(sample, id=f"{name} {number}")
    for name in sorted(SAMPLES)
    for number, sample in enumerate(SAMPLES[name])
]
HOSTILE = st.sampled_from(
    [b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b",", b"{", b"[", b"]", b"}", b"[" * 300]
)
CONTENTS = sorted({sample.content for samples in SAMPLES.values() for sample in samples})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One path for all: hypothesis forbids a fixture for each example."""
    return tmp_path_factory.mktemp("landing") / "file"


def test_every_format_has_samples() -> None:
    assert sorted(SAMPLES) == EVERY_FORMAT, "add small files of the format to SAMPLES in format_samples.py"


@pytest.mark.parametrize("sample", EVERY_SAMPLE)
def test_the_rows_of_a_file_are_accepted_rejected_duplicates_or_skipped(place: Path, sample: Sample) -> None:
    """That the balance is right, and each byte is in a row, `validate_file` checks."""
    found = validate_file(place, sample.content, sample.stream())
    counts = (found.events.height, found.rejected.height, found.duplicates, found.skipped)
    assert counts == (sample.accepted, sample.rejected, sample.duplicates, sample.skipped)
    assert set(found.events["event_id"]) == {"a1", "a2"}


@pytest.mark.parametrize("content", [b"[]", b"[\n]\n", b" ", b"\r\n", b"\xef\xbb\xbf\n"])
def test_json_without_an_element_is_copied_and_its_size_adds_up(place: Path, content: bytes) -> None:
    assert rows_of(reading(place, content, format="json")).is_empty()
    batches = b'{"batch": []}\n\r\n{"batch": []}'
    assert rows_of(reading(place, batches, format="ndjson", events="batch")).is_empty()


@st.composite
def mutated(draw: st.DrawFn, samples: list[Sample]) -> bytes:
    """A sample in which pieces are cut out, put in or replaced, also by pieces of other formats."""
    content = draw(st.sampled_from([sample.content for sample in samples]))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.sampled_from([start, start + 1, start + 20, len(content)]))
        content = content[:start] + draw(piece()) + content[end:]
    return content


@st.composite
def piece(draw: st.DrawFn) -> bytes:
    whole = draw(st.just(b"") | st.binary(max_size=4) | HOSTILE | st.sampled_from(CONTENTS))
    start = draw(st.integers(0, len(whole)))
    return whole[start : start + draw(st.integers(1, 100))]


def anything(samples: list[Sample]) -> st.SearchStrategy[bytes]:
    some = st.one_of(mutated(samples), mutated(samples), mutated(samples), st.binary(max_size=100))
    packed = st.sampled_from([bytes, bytes, bytes, gzip.compress])
    return st.builds(lambda content, pack: pack(content), some, packed)


def no_byte_is_lost(place: Path, name: str, examples: int, *, same_each_time: bool) -> None:
    @settings(max_examples=examples, derandomize=same_each_time, suppress_health_check=[HealthCheck.too_slow])
    @given(anything(SAMPLES[name]), st.sampled_from(SAMPLES[name]))
    def any_file_is_read(content: bytes, sample: Sample) -> None:
        validate_file(place, content, sample.stream())

    any_file_is_read()


@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_any_bytes_at_all_are_read_and_none_is_lost(place: Path, name: str) -> None:
    no_byte_is_lost(place, name, 6, same_each_time=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_many_more_bytes_are_read_and_none_is_lost(place: Path, name: str) -> None:
    no_byte_is_lost(place, name, 150, same_each_time=False)
