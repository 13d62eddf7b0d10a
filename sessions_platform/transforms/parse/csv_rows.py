"""CSV records of a block, made ready for the cut at their separators, which is in `vectorized`."""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl

from sessions_platform.contracts.csv_options import BLANKS
from sessions_platform.transforms.parse.templates import QUOTE
from sessions_platform.transforms.parse.tokens import Rows, tokenize

_BACKSLASH = "\\"
# Replaces a separator inside quotes. Rows that contain it themselves are not eligible.
STAND_IN = "\0"
# Records with more quotes are rare and are read row by row.
_MOST_QUOTED_TOKENS = 513


def in_single_blanks(rows: Rows, quote: str | None) -> Rows:
    """Records without quotes, with one space for each run of blanks, and none at their ends."""
    if quote is not None:
        rows = rows.without(quote).without("\r").without("\n")
    texts = rows.texts.str.strip_chars(BLANKS).str.replace_all(f"[{BLANKS}]+", " ")
    rows = replace(rows, texts=texts)
    return rows.only(rows.texts != "")


def valid_in_json(rows: Rows, separator: str) -> Rows:
    """The rows whose fields a JSON string contains as they are, without escapes."""
    return rows.without_controls(separator).without(_BACKSLASH).without(QUOTE)


def by_header(headers: pl.Series, rows: Rows) -> Iterator[tuple[bytes | None, Rows]]:
    """The rows under each header; `headers` (Binary) are those of all rows of the block."""
    if headers.null_count() == len(headers) or (headers == headers.head(1)).sum() == len(headers):
        yield headers[0], rows
        return
    numbers = headers.rle_id().gather(rows.numbers)
    for number in numbers.unique():
        under = rows.only(numbers == number)
        yield headers[int(under.numbers[0])], under


def unquoted(rows: Rows, quote: str, separator: str, min_rows: int) -> Iterator[Rows]:
    """Remove the quotes of rows in which each pair of them encloses a whole field; separators inside are replaced.

    Cut at quotes, tokens of odd number were inside quotes. Those of even number have to end and begin with a
    separator, except at the ends of the record. Groups of fewer than `min_rows` rows are left out.
    """
    for group in tokenize(rows, quote):
        if len(group) < min_rows:
            break  # later groups are smaller
        if group.count % 2 == 0 or group.count > _MOST_QUOTED_TOKENS:
            continue
        tokens = [group[number] for number in range(group.count)]
        encloses_fields = ((tokens[0] == "") | tokens[0].str.ends_with(separator)) & (
            (tokens[-1] == "") | tokens[-1].str.starts_with(separator)
        )
        for between in tokens[2:-1:2]:
            encloses_fields &= between.str.starts_with(separator) & between.str.ends_with(separator)
        tokens[1::2] = [inside.str.replace_all(separator, STAND_IN, literal=True) for inside in tokens[1::2]]
        texts = pl.select(pl.concat_str(tokens)).to_series()
        yield Rows(group.rows, texts, has_stand_ins=True).only(encloses_fields)
