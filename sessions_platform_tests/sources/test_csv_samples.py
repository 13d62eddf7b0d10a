"""CSV as other programs write it: the bytes are those of the file, and the values what the writer meant.

Each file is read in small blocks and at once; each record is parsed by the row parser and by the vectorized one.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.files.reader import BLOCK_BYTES
from sessions_platform.transforms.parse import vectorized
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.parse.row_parser import parse_rows
from sessions_platform.transforms.skip import without_skipped
from sessions_platform_tests.ingested import joined, reading, rows_of


@pytest.fixture(autouse=True, scope="module")
def small_blocks_too() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectorized, "MIN_ROWS", 1)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("landing") / "file"


TAB = {"separator": "\t", "quote": None}
ESCAPED = {"separator": "\t", "quote": None, "escape": "\\"}
QUOTED = {"escape": "\\"}
BLANKS = {"separator": "whitespace"}
REFUSED = "malformed"

B = {"a": "6", "b": "7"}

SAMPLES: dict[str, tuple[dict[str, Any], bytes, list[Any]]] = {
    # What every writer of CSV does
    "plain": ({}, b"a,b,c\n1,2,3\n4,5,6\n", [{"a": "1", "b": "2", "c": "3"}, {"a": "4", "b": "5", "c": "6"}]),
    "CR LF": ({}, b"a,b\r\n1,2\r\n3,4\r\n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
    "no line end at the end": ({}, b"a,b\n1,2", [{"a": "1", "b": "2"}]),
    "a BOM": ({}, b"\xef\xbb\xbfa,b\n1,2\n", [{"a": "1", "b": "2"}]),
    "a separator in quotes": (
        {},
        b'first,last,zip\nAda,"Low, Countess",00100\n',
        [{"first": "Ada", "last": "Low, Countess", "zip": "00100"}],
    ),
    "quotes in quotes": ({}, b'a,b\n1,"she said ""no"""\n', [{"a": "1", "b": 'she said "no"'}]),
    "a quote alone in quotes": ({}, b'a,b\n"""",1\n', [{"a": '"', "b": "1"}]),
    "quotes around empty fields": ({}, b'a,b,c\n1,"",""\n,,3\n', [{"a": "1"}, {"c": "3"}]),
    "an empty last field": ({}, b"a,b,c\n1,2,\n", [{"a": "1", "b": "2"}]),
    "a line feed in quotes": ({}, b'a,b\n1,"x\ny"\n2,z\n', [{"a": "1", "b": "x\ny"}, {"a": "2", "b": "z"}]),
    "CR LF in quotes": ({}, b'a,b\r\n1,"x\r\ny"\r\n2,z\r\n', [{"a": "1", "b": "x\r\ny"}, {"a": "2", "b": "z"}]),
    "quotes and line ends": ({}, b'a\n"x ""y\nz"" ""\n"\n', [{"a": 'x "y\nz" "\n'}]),
    "JSON in quotes": ({}, b'k,j\n1,"{""t"": ""p"", ""c"": [1, 2]}"\n', [{"k": "1", "j": '{"t": "p", "c": [1, 2]}'}]),
    "UTF-8": ({}, "a,b\n1,ʤ é 😀\n".encode(), [{"a": "1", "b": "ʤ é 😀"}]),
    "names in quotes, of several lines": ({}, b'"a\nb","c,d"\n1,2\n', [{"a\nb": "1", "c,d": "2"}]),
    "Latin-1": ({"encoding": "latin-1"}, b"a,b\n1,caf\xe9\n", [{"a": "1", "b": "café"}]),
    "semicolons and decimal commas": ({"separator": ";"}, b"a;b\n1;2,5\n", [{"a": "1", "b": "2,5"}]),
    "single quotes": ({"quote": "'"}, b"a,b\n1,'it''s, \"so\"'\n", [{"a": "1", "b": 'it\'s, "so"'}]),
    # TSV
    "tabs": (TAB, b'a\tb\n1\t"x"\n', [{"a": "1", "b": '"x"'}]),
    "a tab, written as two letters": ({"separator": "\\t"}, b"a\tb\n1\t2\n", [{"a": "1", "b": "2"}]),
    # Escapes: data feeds, and MySQL's INTO OUTFILE
    "an escaped tab": (ESCAPED, b"a\tb\n1\tx\\\ty\n", [{"a": "1", "b": "x\ty"}]),
    "an escaped line feed": (ESCAPED, b"a\tb\n1\tx\\\ny\n2\tz\n", [{"a": "1", "b": "x\ny"}, {"a": "2", "b": "z"}]),
    "an escaped CR LF": (ESCAPED, b"a\tb\r\n1\tx\\\r\ny\r\n", [{"a": "1", "b": "x\r\ny"}]),
    "an escaped escape at the end": (ESCAPED, b"a\tb\n1\tC:\\\\\n2\t\n", [{"a": "1", "b": "C:\\"}, {"a": "2"}]),
    "three of them": (ESCAPED, b"a\tb\n1\tx\\\\\\\ny\n", [{"a": "1", "b": "x\\\ny"}]),
    "NULL is what nulls says": (ESCAPED, b"a\tb\n\\N\tx\n", [{"a": "\\N", "b": "x"}]),
    "other letters are the column's": (ESCAPED, b"a\tb\n1\tx\\ty\\q\n", [{"a": "1", "b": "x\\ty\\q"}]),
    "an escape that ends the file": (ESCAPED, b"a\tb\n1\tx\\", [REFUSED]),
    "escaped quotes": (QUOTED, b'a,b\n1,"she said \\"no\\", twice"\n', [{"a": "1", "b": 'she said "no", twice'}]),
    "both kinds of quotes": (QUOTED, b'a,b\n"x \\" y","x "" y"\n', [{"a": 'x " y', "b": 'x " y'}]),
    "an escaped quote before a line end": (
        QUOTED,
        b'a,b\n1,"x\\"\ny"\n2,z\n',
        [{"a": "1", "b": 'x"\ny'}, {"a": "2", "b": "z"}],
    ),
    "an escape at the end of quotes": (QUOTED, b'a,b\n"x\\\\",y\n', [{"a": "x\\", "b": "y"}]),
    "an escaped separator without quotes": (QUOTED, b"a,b\n1,x\\,y\n", [{"a": "1", "b": "x,y"}]),
    "a quote that is escaped, and opens nothing": (QUOTED, b'a,b\n1,\\"x\n2,\n', [{"a": "1", "b": '"x'}, {"a": "2"}]),
    "an escape with quotes left open": (QUOTED, b'a,b\n1,"x\\"\n2,y\n', [REFUSED, {"a": "2", "b": "y"}]),
    "another escape": ({"escape": "^"}, b"a,b\n1^,2,^^\n", [{"a": "1,2", "b": "^"}]),
    # CR alone
    "CR": ({"line_end": "auto"}, b"a,b\r1,2\r3,4", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
    "CR, and line feeds in quotes": ({"line_end": "auto"}, b'"a\nb",c\r"1\n2",3\r', [{"a\nb": "1\n2", "c": "3"}]),
    "CR and an empty line": ({"line_end": "auto"}, b"a\r\r1\r", [REFUSED, {"a": "1"}]),
    "a stray line feed among CR": ({"line_end": "auto"}, b"a,b\r1,2\n3,4\r5,6\r", [REFUSED, {"a": "5", "b": "6"}]),
    "LF is found, too": ({"line_end": "auto"}, b"a,b\n1,2\n", [{"a": "1", "b": "2"}]),
    "and CR LF": ({"line_end": "auto"}, b'a,b\r\n1,"x\ry"\r\n', [{"a": "1", "b": "x\ry"}]),
    "CR in quoted names before LF": ({"line_end": "auto"}, b'"a\rb",c\n1,2\n', [{"a\rb": "1", "c": "2"}]),
    "CR, and escapes": ({"line_end": "auto", **QUOTED}, b"a\\\nb,c\r1,x\\\ry\r", [{"a\nb": "1", "c": "x\ry"}]),
    # Comments
    "comments": (
        {"comment": "#"},
        b'# it\'s "odd\n#\na,b\n#1,2\n3,"x\n# y"\n# "open\n5,6\n',
        [{"a": "3", "b": "x\n# y"}, {"a": "5", "b": "6"}],
    ),
    "comments that end in escapes": ({"comment": "#", **QUOTED}, b"# C:\\\na\n# D:\\\n\\#\n", [{"a": "#"}]),
    "a first value that looks like one": ({"comment": "#", **QUOTED}, b'a\n"#x"\n\\#y\n', [{"a": "#x"}, {"a": "#y"}]),
    "nothing but comments": ({"comment": "#"}, b"# a\n# b\n", []),
    # Runs of blanks
    "columns of blanks": (BLANKS, b"a   b\n1\t 2\n  3  4  \n", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
    "blanks in quotes": (BLANKS, b'a b\n1  "x  y"\n"" "z"\n', [{"a": "1", "b": "x  y"}, {"b": "z"}]),
    "blanks with escapes": ({**BLANKS, "quote": None, "escape": "\\"}, b"a b\n1 x\\ y\\ \n", [{"a": "1", "b": "x y "}]),
    "blanks alone": (BLANKS, b"a b\n \t\n1 2\n", [REFUSED, {"a": "1", "b": "2"}]),
    "a no-break space is no blank": (BLANKS, "a b\n1 x\u00a0y\n".encode(), [{"a": "1", "b": "x\u00a0y"}]),
    # More and fewer fields than are named
    "more fields": ({}, b"a,b\n1,2,3\n", [REFUSED]),
    "fewer fields": ({}, b"a,b\n1\n", [REFUSED]),
    "more fields, kept": ({"extra_fields": "keep"}, b"a,b\n1,2,,4\n6,7\n", [{"a": "1", "b": "2", "4": "4"}, B]),
    "a separator at each end": ({"extra_fields": "keep"}, b"a,b\n1,2,\n", [{"a": "1", "b": "2"}]),
    "one of the names is a number": ({"extra_fields": "keep"}, b"3,b\n1,2,9\n", [REFUSED]),
    "fewer fields, null": ({"missing_fields": None}, b"a,b\n1\n6,7\n", [{"a": "1"}, B]),
    "fewer fields, and more": ({"missing_fields": "null"}, b"a,b\n1\n2,3,4\n", [{"a": "1"}, REFUSED]),
}  # fmt: skip


def values_of(raw: pl.DataFrame, of: Stream) -> list[Any]:
    """Each record's fields that are not null, or the code of its rejection; without skipped rows."""
    whole = raw.with_columns(landing_partition=pl.lit("2026-01-01"), source_uri=pl.lit("a"))
    parsed = parse(whole, of)
    plain, _ = parse_rows(whole, of)
    assert parsed.select(plain.columns).equals(plain)
    kept = without_skipped(parsed, of).select("properties", "parse_errors").rows()
    return [errors[0]["code"] if errors else json.loads(properties) for properties, errors in kept]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_file_has_the_values_that_its_writer_meant(place: Path, name: str) -> None:
    options, content, expected = SAMPLES[name]
    source = {"files": "*", "format": "csv", **options}
    of = Stream.model_validate(
        {"name": "web", "start": "2026-01-01", "source": source, "columns": {"absent": {"nullable": True}}}
    )
    whole = rows_of(reading(place, content, BLOCK_BYTES, format="csv", **options))
    assert joined(whole) == content or whole.is_empty()
    assert values_of(whole, of) == expected
    for block_bytes in (1, 3, 7):
        assert rows_of(reading(place, content, block_bytes, format="csv", **options)).equals(whole)
