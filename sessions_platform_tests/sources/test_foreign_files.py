"""Files that are no text are one rejected row that says what they are."""

import bz2
import codecs
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import lz4.block
import lz4.frame
import polars as pl
import pytest
import zstandard

from sessions_platform_tests.ingested import payloads, reading

LINES = b'{"a": 1}\n' * 1000


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, LINES)
    return file.getvalue()


def tarred(kind: int) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        member = tarfile.TarInfo("events.ndjson")
        member.size = len(LINES)
        archive.addfile(member, io.BytesIO(LINES))
    return file.getvalue()


def parquet() -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (zipped("events.ndjson"), "a zip archive. Fix: name its members in the source"),
        (zipped("[Content_Types].xml"), "an Excel workbook or another Office document. Fix: export"),
        (tarred(tarfile.USTAR_FORMAT), "a tar archive. Fix: name its members in the source"),
        (tarred(tarfile.GNU_FORMAT), "a tar archive. Fix: name its members in the source"),
        (gzip.compress(tarred(tarfile.PAX_FORMAT)), "a tar archive in gzip. Fix: name its members"),
        (zstandard.compress(tarred(tarfile.PAX_FORMAT)), "a tar archive in zstd. Fix: name its members"),
        (bz2.compress(tarred(tarfile.PAX_FORMAT)), "a tar archive in bzip2. Fix: name its members"),
        (lzma.compress(tarred(tarfile.PAX_FORMAT)), "a tar archive in xz. Fix: name its members"),
        (lz4.frame.compress(tarred(tarfile.PAX_FORMAT)), "a tar archive in lz4. Fix: name its members"),
        (gzip.compress(zipped("events.ndjson")), "a zip archive in gzip. Fix: unpack"),
        (gzip.compress(bz2.compress(LINES)), "a file in bzip2 in gzip. Fix: deliver it packed once"),
        (gzip.compress(gzip.compress(LINES)), "a file in gzip in gzip. Fix: deliver it packed once"),
        (b"\x02\x21\x4c\x18" + lz4.block.compress(LINES), "a file in the legacy format of lz4. Fix: deliver"),
        (lzma.compress(LINES, lzma.FORMAT_ALONE), "a file in legacy LZMA. Fix: deliver"),
        (parquet(), "a Parquet file. Fix: set format: parquet"),
        (b"Obj\x01\x04\x14avro.codec", "an Avro file. Fix: set format: avro"),
        ("id,user\n1,ann\n".encode("utf-16"), "a file in UTF-16. Fix: convert it to UTF-8"),
        (codecs.BOM_UTF16_BE + "é,ü\n".encode("utf-16-be"), "a file in UTF-16. Fix: convert it to UTF-8"),
        (b"%PDF-1.7\n", "a PDF. Fix: export"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",  # packed files have times in them
)
def test_a_file_of_another_format_says_what_it_is(tmp_path: Path, content: bytes, kind: str, block_bytes: int) -> None:
    rows = pl.concat(list(reading(tmp_path / "file", content, block_bytes)))
    assert rows.height == 1
    assert kind in rows["corrupt_reason"][0]


@pytest.mark.parametrize("line", [b"PAR1,b", b"PK,b", b"BZh9,b", b"%PDF,b", b"Obj,b", b"Rar!,b", b"x" * 257 + b"ustar"])
def test_a_line_of_text_that_begins_alike_is_a_line(tmp_path: Path, line: bytes) -> None:
    assert payloads(reading(tmp_path / "file", line + b"\n")) == [line]
