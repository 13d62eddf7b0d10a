"""A file in UTF-8 whose stream states an encoding of single bytes is read as stated, with a warning."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.base import ReadWarning
from sessions_platform.sources.files.encoding_doubt import EncodingDoubt
from sessions_platform_tests.ingested import DAY, open_folder, reading

WARNING = "its text is UTF-8, and is read as iso8859-1: é as Ã©. Fix: encoding: utf-8"


def warnings(folder: Path, content: bytes, encoding: str = "latin-1", block_bytes: int = 3) -> list[str]:
    file = reading(folder / "file", content, block_bytes, encoding=encoding, format="csv", header=["a"])
    assert sum(block.height for block in file) == content.count(b"\n") or content[:2] == b"\x1f\x8b"
    return file.warnings


@pytest.mark.parametrize(
    ("content", "encoding", "expected"),
    [
        ("a\nzoë é\n".encode(), "latin-1", [WARNING.replace("é as Ã©", "ë as Ã«")]),
        (gzip.compress("é\n".encode(), mtime=0), "latin-1", [WARNING]),
        ("é\n".encode(), "cp1252", ["its text is UTF-8, and is read as cp1252: é as Ã©. Fix: encoding: utf-8"]),
        ("é\n".encode(), "utf-8", []),
        (b"plain\n", "latin-1", []),
        (b"caf\xe9\n", "latin-1", []),
        ("é\n".encode() + b"caf\xe9\n", "latin-1", []),
        ("é\n".encode() + b"\xc3", "latin-1", []),
        ("é\n".encode(), "shift_jis", []),
    ],
)
def test_a_file_that_is_utf8_warns(tmp_path: Path, content: bytes, encoding: str, expected: list[str]) -> None:
    content = content if content.endswith(b"\n") or content[:2] == b"\x1f\x8b" else content + b"\n"
    assert warnings(tmp_path, content, encoding) == expected


@given(st.binary(max_size=20) | st.text(max_size=8).map(str.encode), st.integers(1, 5))
def test_it_is_told_of_what_is_utf8_and_not_ascii(text: bytes, size: int) -> None:
    doubt = EncodingDoubt("latin-1")
    for start in range(0, len(text), size):
        doubt.see(text[start : start + size])
    doubt.see(b"", is_last=True)
    try:
        is_utf8 = not text.decode().isascii()
    except UnicodeDecodeError:
        is_utf8 = False
    assert (doubt.warning is not None) == is_utf8


def test_a_run_tells_it_of_the_files_that_it_reads(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / DAY).mkdir()
    (tmp_path / DAY / "a.csv").write_bytes("id,user\n1,zoé\n".encode())
    (tmp_path / DAY / "b.csv").write_bytes(b"id,user\n1,zo\xe9\n")
    context = open_folder(tmp_path, settings, source={"format": "csv", "encoding": "latin-1"})
    assert ingest(context, [DAY], "one")[DAY].warnings == (ReadWarning(f"{DAY}/a.csv", WARNING),)
    assert ingest(context, [DAY], "two")[DAY].warnings == ()
