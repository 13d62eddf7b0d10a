"""Files that are no text, recognized by the bytes that they begin with, and what to do with them.

Without this a line feed anywhere in an archive would end a row, and a row in it could pass for an event. Only
signatures that no line of text begins with are here: `PAR1` alone may be the first field name of a CSV file.
"""

import re

from sessions_platform.sources.formats.errors import CorruptDataError

_UNPACK = "unpack it, and deliver the files that are in it"
_READ_MEMBERS = 'name its members in the source, as in archive: "**/*.json", or unpack it'
ZIP, TAR = "a zip archive", "a tar archive"
_REPACK = "deliver it uncompressed, or as gzip, zstd, bzip2, xz, lz4 or brotli"
_EXPORT = "export it as CSV or NDJSON"
_RECODE = "convert it to UTF-8, as iconv -f utf-16 -t utf-8 does"
_SIGNATURES: tuple[tuple[str, str, str], ...] = (
    (
        r"PK\x03\x04(?s:.{26})(\[Content_Types\]\.xml|_rels/|xl/)",
        "an Excel workbook or another Office document",
        _EXPORT,
    ),
    (r"PK(\x03\x04|\x05\x06|\x07\x08)", ZIP, _READ_MEMBERS),
    (r"(?s:(?=.{0,256}\x00).{257})ustar", TAR, _READ_MEMBERS),
    (r"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (r"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (r"\x02\x21\x4c\x18", "a file in the legacy format of lz4", _REPACK),
    (r"\x5d\x00\x00(?s:..)(\xff{8}|(?s:.{5})\x00{3})", "a file in legacy LZMA", _REPACK),
    (r"LZIP[\x00\x01]", "a file in lzip", _REPACK),
    (r"\x1f\x9d", "a file of the program compress", _REPACK),
    (r"\xff\x06\x00\x00sNaPpY", "a file in snappy", _REPACK),
    (r"PAR1[\x00-\x08\x0e-\x1f]", "a Parquet file", "set format: parquet"),
    (r"ARROW1\x00\x00", "an Arrow file", "set format: arrow"),
    (r"Obj\x01", "an Avro file", "set format: avro"),
    (r"\xff\xfe[^\x00]\x00|\xfe\xff\x00[^\x00]", "a file in UTF-16", _RECODE),
    (r"%PDF-[12]\.\d", "a PDF", _EXPORT),
    (r"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an older Excel workbook or Office document", _EXPORT),
    (r"SQLite format 3\x00", "an SQLite database", _EXPORT),
)
_COMPILED = [(re.compile(signature.encode("latin-1")), kind, fix) for signature, kind, fix in _SIGNATURES]


def kind_of(start: bytes) -> str | None:
    """What a file is that is no text, by what it begins with (262 bytes at least); None for anything else."""
    return next((kind for signature, kind, _ in _COMPILED if signature.match(start)), None)


def refuse_foreign(start: bytes, codec: str | None = None, *, in_archive: bool = False) -> None:
    """Raise CorruptDataError, with what the file is and what to do, where its text begins as no text does.

    Args:
        start: what the text begins with; a tar archive is recognized by its first 262 bytes.
        codec: the name of the file's compression; None for none.
        in_archive: whether the file is a member of an archive, where archives are not opened.
    """
    for signature, kind, fix in _COMPILED:
        if signature.match(start):
            packed = f" in {codec}" if codec else ""
            if kind in (ZIP, TAR) and in_archive:
                raise CorruptDataError(f"it is {kind}{packed} in an archive. Fix: {_UNPACK}")
            raise CorruptDataError(f"it is {kind}{packed}. Fix: {_UNPACK if kind == ZIP and codec else fix}")
