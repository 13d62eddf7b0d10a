"""Hold a library that was compiled against what it should do, before it is kept."""

from pathlib import Path

import polars as pl

from sessions_platform.errors import UserError
from sessions_platform.scanner.distinct_texts import DistinctTexts
from sessions_platform.scanner.library import Scanner

# Of a|bc and of more than twelve|
_CHECKED_UUIDS = ["8a7d22c8-204c-8d23-ca1d-a728c29313ad", "c44e6051-f846-1a65-adbf-d4968c6de375"]


def check(file: Path) -> None:
    """Raise UserError where the library of a file can't be loaded, or does not read what it should."""
    rows = [b'{"a":"x","b":1.50}', b'{"b":null,"a":"more than twelve"}', b'{"a":"\\ud800"}', b"{", b'{"c":1}']
    try:
        library = Scanner(file)
        scanned = library.objects(pl.Series(rows, dtype=pl.Binary), ["a", "b"])
        uuids = library.uuids([pl.Series(["a", "more than twelve"]), pl.Series(["bc", ""])], "|").to_list()
    except (OSError, AttributeError) as error:
        raise UserError(f"it can't be loaded: {error}") from None
    texts, gaps = [text.to_list() for text in scanned.texts], [None] * 3
    if (
        texts != [["x", "more than twelve", *gaps], ["1.50", None, *gaps]]
        or uuids != _CHECKED_UUIDS
        or not _reads_messages(library)
        or not _finds_texts(library)
    ):
        raise UserError("it does not read what it should. Fix: compile it with another compiler (CC=…)")


def _reads_messages(library: Scanner) -> bool:
    records, keys, beginning = [b"", b"more than twelve"], [None, b"b"], b'{"topic":"a","offset":'
    framed, envelopes = library.framed(records), library.envelopes(beginning, [0, 12], [-1, 3], keys)
    if framed is None or envelopes is None:
        return False
    expected = [b'0,"timestamp":-1,"key":null}', b'12,"timestamp":3,"key":"b"}']
    return (
        bytes(framed[0]) == b"0\n16\nmore than twelve"
        and framed[1].to_list() == records
        and envelopes.to_list() == [beginning + rest for rest in expected]
    )


def _finds_texts(library: Scanner) -> bool:
    distinct, texts = DistinctTexts(library), ["a", None, "more than twelve", "a", "more than twelve"]
    found = distinct.places(pl.Series(texts)), distinct.places(pl.Series(["b", *texts]))
    answers = [[each.tolist() for each in places] for places in found if places is not None]
    return answers == [[[0, 1, 2, 0, 2], [0, 1, 2]], [[3, 0, 1, 2, 0, 2], [0]]]
