"""Lines cut into fields, many at once: by the groups of a pattern, or between separators under a directive.

Each function yields groups of rows that are cut into the fields of one template. Not here: what columns are made of
them (``vectorized``), and the same cuts for single lines, which define what a line means (``sources.formats``).
"""

from collections.abc import Callable, Iterator

import polars as pl

from sessions_platform.contracts.formats import FormatOptions, Layout
from sessions_platform.sources.formats import w3c
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.regex import LinePattern
from sessions_platform.transforms.parse.templates import QUOTE, FieldsTemplate
from sessions_platform.transforms.parse.tokens import CutRows, Rows, Tokens, tokenize

# Directives of a block. Each costs as much as hundreds of lines, so the lines under more are parsed one by one.
_MOST_DIRECTIVES = 64

Cut = tuple[CutRows | Tokens, FieldsTemplate]
Cutter = Callable[[Rows, pl.Series, FormatOptions], Iterator[Cut]]


def _by_pattern(rows: Rows, headers: pl.Series, options: FormatOptions) -> Iterator[Cut]:
    """The lines that the pattern matches."""
    del headers
    pattern = LinePattern(str(options.pattern))
    columns, matches = pattern.cut(rows.texts)
    yield CutRows(rows.numbers, columns).only(matches.to_numpy()), FieldsTemplate(pattern.names)


def _by_directive(rows: Rows, headers: pl.Series, options: FormatOptions) -> Iterator[Cut]:
    """Lines without quotes, which are no comments, with as many fields as their directive names."""
    names_under = w3c.field_names(options)
    rows = rows.without(QUOTE)
    rows = rows.only(~rows.texts.str.starts_with(w3c.COMMENT))
    has_tabs = rows.texts.str.contains("\t", literal=True)
    for alike, separator in ((rows.only(has_tabs), "\t"), (rows.only(~has_tabs), " ")):
        directives = headers.gather(alike.numbers)
        for directive in directives.unique(maintain_order=True).drop_nulls().head(_MOST_DIRECTIVES):
            try:
                template = FieldsTemplate(names_under(directive), w3c.NULL)
            except MalformedError:
                continue
            under = alike.only((directives == pl.Series([directive])).fill_null(value=False))
            yield from ((cut, template) for cut in tokenize(under, separator) if cut.count == len(template.slots))


# Each gets rows that are neither empty nor have U+0000, the headers of the block by row number, and the options.
CUTTERS: dict[Layout, Cutter] = {Layout.named_groups: _by_pattern, Layout.directed: _by_directive}
