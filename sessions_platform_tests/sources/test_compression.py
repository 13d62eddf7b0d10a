"""Each compression: members one after the other, files that are cut or broken, and files that unpack to too much."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import brotli
import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.sources.formats.compression import Codec, codec_of, codecs_without_magic, decompressed
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform_tests.ingested import reading

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lz4": partial(lz4.frame.compress, content_checksum=True),
    "brotli": partial(brotli.compress, quality=5),
}
SUFFIXES = {"gzip": ".gz", "zstd": ".zst", "bzip2": ".bz2", "xz": ".xz", "lz4": ".lz4", "brotli": ".br"}
WITH_MEMBERS = [name for name in PACKERS if name != "brotli"]
LINES = b"".join(b'{"id": %d, "user": "u%d"}\n' % (n, n * n % 97) for n in range(600))
PACKED = {name: pack(LINES) for name, pack in PACKERS.items()}


def codec_named(name: str, packed: bytes) -> Codec:
    codec = codec_of(packed, f"file{SUFFIXES[name]}")
    assert codec is not None
    assert codec.name == name
    return codec


def unpacked(codec: Codec, packed: bytes, most: int = 1 << 30) -> tuple[bytes, str | None]:
    """The text, and what is wrong with the rest."""

    def chunks(size: int) -> Iterator[bytes]:
        return (packed[at : at + size] for at in range(0, len(packed), size))

    texts: list[bytes] = []
    try:
        texts.extend(decompressed(chunks, codec, most))
    except CorruptDataError as error:
        return b"".join(texts), str(error)
    return b"".join(texts), None


@pytest.mark.parametrize("name", PACKERS)
def test_a_packed_file_is_known_and_read(tmp_path: Path, name: str) -> None:
    packed = PACKED[name]
    assert unpacked(codec_named(name, packed), packed) == (LINES, None)
    lines = [line for block in reading(tmp_path / f"a.ndjson{SUFFIXES[name]}", packed) for line in block["payload"]]
    assert lines == LINES.splitlines()


@pytest.mark.parametrize("name", PACKERS)
def test_an_erasure_writes_what_can_be_read(name: str) -> None:
    codec = codec_named(name, PACKED[name])
    file = io.BytesIO()
    out = codec.writer(file)
    for at in range(0, len(LINES), 10_000):
        out.write(LINES[at : at + 10_000])
    out.close()
    assert unpacked(codec, file.getvalue()) == (LINES, None)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(WITH_MEMBERS), st.lists(st.binary(max_size=40), min_size=1, max_size=4), st.sampled_from([0, 0, 8])
)
def test_members_one_after_the_other_are_one_text(name: str, texts: list[bytes], padding: int) -> None:
    packed = b"".join(PACKERS[name](text) + bytes(padding) for text in texts)
    assert unpacked(codec_named(name, packed), packed) == (b"".join(texts), None)


@pytest.mark.parametrize("end", [b"\0", b"\n", brotli.compress(b"more")])
def test_brotli_has_one_member(end: bytes) -> None:
    packed = brotli.compress(LINES) + end
    text, broken = unpacked(codec_named("brotli", packed), packed)
    assert (text, broken) == (LINES, "other bytes follow the end of its brotli data")


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(list(PACKERS)), st.data())
def test_a_cut_file_gives_the_text_before_and_says_so(name: str, data: st.DataObject) -> None:
    packed = PACKED[name]
    cut = packed[: data.draw(st.integers(12, len(packed) - 1))]
    text, broken = unpacked(codec_named(name, cut), cut)
    assert LINES.startswith(text)
    assert broken is not None


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(WITH_MEMBERS), st.data())
def test_a_broken_member_costs_nothing_of_those_before_it(name: str, data: st.DataObject) -> None:
    packed = PACKED[name]
    at = data.draw(st.integers(0, len(packed) - 1))
    broken = packed + packed[:at] + bytes([packed[at] ^ 0x81]) + packed[at + 1 :]
    text, told = unpacked(codec_named(name, packed), broken)
    assert text.startswith(LINES)
    assert told is not None or text in (LINES + LINES, LINES)  # LINES: the second is no frame, but one of metadata


@pytest.mark.parametrize("name", ["xz", "brotli"])
def test_nothing_before_a_broken_byte_is_lost_with_its_chunk(name: str) -> None:
    """The same as where the file is cut at that byte."""
    packed = PACKED[name]
    at = len(packed) * 3 // 4
    broken, told = unpacked(codec_named(name, packed), packed[:at] + b"\xff" * 8 + packed[at + 8 :])
    cut, _ = unpacked(codec_named(name, packed), packed[:at])
    assert told is not None
    assert len(broken) >= len(cut) > len(LINES) // 2


@pytest.mark.parametrize("name", PACKERS)
def test_a_bomb_ends_at_the_limit(name: str) -> None:
    packed = PACKERS[name](bytes(8 << 20))
    text, broken = unpacked(codec_named(name, packed), packed, 1 << 20)
    assert (len(text), broken) == (1 << 20, f"it unpacks to more than max_unpacked, {1 << 20} bytes")


@pytest.mark.parametrize("name", [name for name in PACKERS if name not in ("gzip", "zstd")])
def test_a_bomb_is_unpacked_in_steps(name: str) -> None:
    packed = PACKERS[name](bytes(16 << 20))
    assert max(map(len, decompressed(lambda _: [packed], codec_named(name, packed), 1 << 30))) <= 4 << 20


def test_xz_that_asks_for_much_memory_is_refused() -> None:
    """The size of the dictionary is a byte of the block's header (xz format, 5.3.1), which ends with a checksum."""
    packed = bytearray(PACKED["xz"])
    end = 12 + (packed[12] + 1) * 4
    packed[packed.index(b"\x21\x01", 12) + 2] = 34  # 512 MiB
    packed[end - 4 : end] = zlib.crc32(packed[12 : end - 4]).to_bytes(4, "little")
    assert unpacked(codec_named("xz", bytes(packed)), bytes(packed)) == (
        b"",
        "the rest of the file is no xz data: Memory usage limit exceeded",
    )


@pytest.mark.parametrize("name", ["zstd", "lz4"])
def test_frames_of_metadata_before_the_first_are_passed_over(name: str) -> None:
    metadata = b"\x5a\x2a\x4d\x18\x03\0\0\0abc"
    packed = metadata * 2 + PACKED[name]
    assert unpacked(codec_named(name, packed), packed) == (LINES, None)


def test_brotli_is_known_by_its_name_and_others_are_not(tmp_path: Path) -> None:
    assert [codec.name for codec in codecs_without_magic()] == ["brotli"]
    assert codec_of(b"{}\n", "a.gz") is None
    assert codec_of(gzip.compress(b"a"), "a.br") is not None
    (block,) = reading(tmp_path / "a.ndjson.br", LINES)
    assert block["corrupt_reason"][0].startswith("the rest of the file is no brotli data")
