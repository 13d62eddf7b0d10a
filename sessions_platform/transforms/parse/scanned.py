"""Rows of flat JSON and of CSV that the compiled scanner reads: the fastest path of ``parse``, where it is there.

Here: which blocks and fields are given to it, and its values as ``template_reader`` makes columns of them. What makes a
row plain enough is in ``sessions_platform/scanner/scanner.c``: among other things every key of an object is one that a
column is read from, so that no field is unexpected or becomes `properties`. All other rows are left to the templates
and the row parser.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from sessions_platform.contracts.csv_options import WHITESPACE
from sessions_platform.contracts.field_paths import reads_json
from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.contracts.stream import Stream
from sessions_platform.scanner.library import MOST_FIELDS, Scanned, scanner
from sessions_platform.sources.formats.csv_fields import header_names
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.transforms.parse.row_parser import has_envelope_paths
from sessions_platform.transforms.parse.scalars import NullableValues
from sessions_platform.transforms.parse.template_reader import TemplateReader, VectorizedRows
from sessions_platform.transforms.parse.templates import FieldsTemplate, Slot
from sessions_platform.transforms.parse.tokens import CutRows, Flags, Numbers, Views, intact_payloads

# Characters that a key does not have between its quotes as they are.
_ESCAPED = frozenset('"\\') | frozenset(map(chr, range(0x20)))


def keys_of(stream: Stream) -> list[str]:
    """The keys that a plain object may have; none if the stream's rows are not for the scanner.

    Each path is a key by itself, since that takes precedence over its steps; in a flat row these lead nowhere, unless
    they lead into text, or into what is around a batch.
    """
    paths = dict.fromkeys(path for name, column in stream.columns.items() for path in column.paths(name))
    keys = [path for path in paths if not _ESCAPED.intersection(path)]
    is_for_others = has_envelope_paths(stream) or any(map(reads_json, paths))
    return keys if not is_for_others and len(keys) <= MOST_FIELDS else []


def scanned_objects(raw: pl.DataFrame, stream: Stream, reader: TemplateReader) -> VectorizedRows | None:
    """The plain JSON objects of a block; None if there are none.

    Of batches, a record without a header is no element, and is rejected.

    Args:
        raw: payload (Binary), header (Binary) and corrupt_reason (String).
        stream: the columns that are read.
        reader: of the block.
    """
    library, keys = scanner(), keys_of(stream)
    if library is None or not keys:
        return None
    template = FieldsTemplate(keys, null=None)
    plan = reader.plan(template)
    if plan is None:
        return None
    numbers, payloads = intact_payloads(raw)
    if stream.source.event_keys and reader.headers.null_count():
        is_element = reader.headers.is_not_null().gather(numbers)
        numbers, payloads = numbers[is_element.to_numpy()], payloads.filter(is_element)
    scanned = library.objects(payloads, keys)
    return reader.read(ScannedValues(scanned, numbers, template.slots, raw.height), plan)


def scanned_records(raw: pl.DataFrame, stream: Stream, reader: TemplateReader) -> VectorizedRows | None:
    """The plain records of CSV of a block that has one header; None if there are none.

    Args:
        raw: payload (Binary) and corrupt_reason (String).
        stream: the columns that are read.
        reader: of the block.
    """
    library, names = scanner(), _common_names(reader.headers, stream.source)
    if library is None or not names or not _is_simple(stream.source):
        return None
    template = FieldsTemplate(names, null=None)
    plan = reader.plan(template)
    if plan is None:
        return None
    numbers, payloads = intact_payloads(raw)
    syntax = (stream.source.separator, stream.source.quote)
    scanned = library.records(payloads, len(names), *syntax, is_json=bool(plan.extras))
    return reader.read(ScannedValues(scanned, numbers, template.slots, raw.height), plan)


def _is_simple(options: FormatOptions) -> bool:
    """Whether records are cut at one character of ASCII, outside of quotes, and nothing is escaped."""
    separator, quote = options.separator, options.quote
    has_bytes = separator != WHITESPACE and (separator + (quote or "")).isascii()
    return has_bytes and separator != quote and options.escape is None


def _common_names(headers: pl.Series, options: FormatOptions) -> list[str]:
    """The names of the fields under the one header that all rows have; none if they have several, or a wrong one."""
    if headers.null_count() < len(headers) and (headers == headers.head(1)).sum() < len(headers):
        return []
    try:
        names = header_names(options)(headers[0])
    except MalformedError:
        return []
    return names if len(names) <= MOST_FIELDS else []


class ScannedValues(NullableValues):
    """The values of plain rows. A value that is null, or absent, is null among the texts.

    Rows that are left out are gaps: null among the texts of a whole block, so that nothing is moved to make room for
    them. Of some rows of a block, and where more rows are to be left out, there are no gaps.

    Args:
        scanned: what was read.
        numbers: those in the block of the rows that were scanned.
        slots: one for each field.
        height: of the block.
    """

    def __init__(self, scanned: Scanned, numbers: Numbers, slots: Sequence[Slot], height: int) -> None:
        super().__init__(CutRows(numbers, [*scanned.texts, pl.Series(scanned.shapes)]), slots)
        self._may_be_blank = scanned.may_be_blank
        self._gaps = scanned.gaps
        self._views = scanned.views
        if len(numbers) < height:
            self.leave_out(np.zeros(len(numbers), np.bool_))

    @property
    def rows(self) -> Numbers:
        """The numbers of the rows that are left."""
        return self._tokens.rows[self._shapes > 0] if self._gaps else self._tokens.rows

    @property
    def views_with_gaps(self) -> Views | None:
        """The memory of all texts' views, if there are gaps; these are then in place of all other rows of the block."""
        return self._views if self._gaps else None

    @property
    def _shapes(self) -> npt.NDArray[np.uint8]:
        return self._tokens[-1].to_numpy()

    def leave_out(self, rows: Flags) -> None:
        """Leave out the rows for which it is true, and the gaps."""
        super().leave_out(rows | (self._shapes == 0))
        self._gaps = 0

    def nulls_in(self, slot: Slot) -> int:
        """In how many rows the slot is null."""
        return self.text(slot).null_count() - self._gaps

    def may_be_blank(self, slot: Slot) -> bool:
        """Whether a text of the slot may be blank."""
        return bool(self._may_be_blank[slot.token])

    def type_combinations(self, slots: Sequence[Slot]) -> Iterator[tuple[int, int]]:  # noqa: ARG002
        """For each order and kinds of fields that occur, the number of the first row and how many rows."""
        counts = np.bincount(self._shapes)
        for shape in np.flatnonzero(counts[1:]) + 1:
            yield int(self._tokens.rows[np.argmax(self._shapes == shape)]), int(counts[shape])
