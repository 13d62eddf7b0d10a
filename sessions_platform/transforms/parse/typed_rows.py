"""Parse rows of a typed file, which have fields instead of a payload, many at once: ``vectorized`` for these.

The result is that of parsing the rows' payloads, to the last character and to the signatures; a property test compares
the two. A field is one slot of a template that all rows share. No field has text that can't be stored. Rows are left
out in which a float is no JSON number, or has an exponent. Streams that cut a field's text, or that enter a field that
is a list or a structure, are not read here at all.

An instant is left as it is where a column's first format would read its text as just that, and nothing else is done
with the text (``reads_instants``). ``texts_of`` makes texts of such columns.

Not here: what a payload made of fields is (``sources.formats.typed.payloads``).
"""

from collections.abc import Container, Iterator, Sequence

import numpy as np
import polars as pl

from sessions_platform.contracts.field_paths import names_of
from sessions_platform.contracts.raw_events import JSON_FIELD, fields_among
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.typed.payloads import field_name, has_odd_spelling, iso, json_of
from sessions_platform.transforms.parse.row_parser import has_envelope_paths
from sessions_platform.transforms.parse.scalars import NULL, TEXT, NullableValues, TypeCodes
from sessions_platform.transforms.parse.template_reader import TemplateReader, VectorizedRows
from sessions_platform.transforms.parse.templates import Slot, TypedTemplate
from sessions_platform.transforms.parse.tokens import CutRows, Flags, Numbers

_TYPES_OF_JSON = {"{": 10, "[": 11}
_INSTANT = pl.Datetime("us", "UTC")


def read_typed(raw: pl.DataFrame, stream: Stream) -> Iterator[VectorizedRows]:
    """Read the rows of a block that have fields and no payload.

    Args:
        raw: payload (Binary), header (Binary) and fields; row numbers count from 0.
        stream: its columns, `extra_columns` and source options.

    Yields:
        One group of rows, or none.
    """
    fields = raw.filter(raw["payload"].is_null()).select(fields_among(raw.columns))
    if fields.is_empty() or not _is_readable(fields, stream):
        return
    slots = [Slot(number, null=_null_of(field)) for number, field in enumerate(fields.get_columns())]
    template = TypedTemplate(slots, dict(zip(map(field_name, fields.columns), slots, strict=True)))
    reader = TemplateReader(raw, stream)
    plan = reader.plan(template)
    if plan is None:
        return
    extras = {slot.token for slot in plan.extras.values()}
    used = extras | {slot.token for slots in plan.columns.values() for slot in slots}
    values = TypedValues(raw["payload"].is_null().arg_true().to_numpy(), fields.get_columns(), used, extras)
    if read := reader.read(values, plan):
        yield read


def _is_readable(fields: pl.DataFrame, stream: Stream) -> bool:
    source = stream.source
    if source.parse or source.event_keys or has_envelope_paths(stream):
        return False
    paths = {path for name, column in stream.columns.items() for path in column.fields(name)}
    entered = paths | {names_of(path)[0] for path in paths}
    return not any(name.startswith(JSON_FIELD) and field_name(name) in entered for name in fields.columns)


def _null_of(field: pl.Series) -> str | None:
    """As ``Slot.null`` says it: "null" for a JSON scalar, None for a JSON string."""
    return None if _is_text(field) else "null"


def _is_text(field: pl.Series) -> bool:
    return not field.name.startswith(JSON_FIELD) and (field.dtype == pl.String or field.dtype.is_temporal())


class TypedValues(NullableValues):
    """The values in the fields of rows that have no payload; null where they are null.

    Args:
        rows: the row numbers, ascending.
        fields: one series for each slot.
        used: the numbers of the fields that are needed.
        extras: the numbers of those that become `properties`, whose texts are as JSON has them.
    """

    def __init__(self, rows: Numbers, fields: Sequence[pl.Series], used: set[int], extras: set[int]) -> None:
        self._tokens = CutRows(rows, fields)
        self._extras = extras
        self._texts: dict[str, pl.Series] = {}
        self._types = {
            str(number): types for number, field in enumerate(fields) if (types := _types(field)) is not None
        }
        left_out = [found for number in used if (found := _left_out(fields[number])) is not None]
        if left_out:
            self.leave_out(np.logical_or.reduce(left_out))

    def text(self, slot: Slot) -> pl.Series:
        """The slot's values as they are written (String), without quotes; null where they are null."""
        if slot.name not in self._texts:
            text = _text(self._tokens[slot.token], as_json=slot.token in self._extras)
            self._texts[slot.name] = text.alias(slot.name)
        return self._texts[slot.name]

    def instants(self, slot: Slot) -> pl.Series | None:
        """The slot's values as instants, where that is what they are, no more exact than microseconds."""
        field = self._tokens[slot.token]
        is_instant = field.dtype in (_INSTANT, pl.Datetime("ms", "UTC"))
        return field.cast(_INSTANT).alias(slot.name) if is_instant else None


def _text(field: pl.Series, *, as_json: bool) -> pl.Series:
    if as_json:
        text, _, after = json_of(field)
        return text + after[:-1] if len(after) > 1 else text
    if field.dtype == pl.String:
        return field
    if field.dtype.is_temporal():
        return iso(field) + ("+00:00" if isinstance(field.dtype, pl.Datetime) and field.dtype.time_zone else "")
    return field.cast(pl.String)


def texts_of(columns: pl.DataFrame, names: Container[str]) -> pl.DataFrame:
    """The columns, of which those of these names that are instants are texts, as JSON has them."""
    instants = [column for column in columns if column.name in names and column.dtype == _INSTANT]
    return columns.with_columns(_text(column, as_json=False) for column in instants) if instants else columns


def _types(field: pl.Series) -> TypeCodes | None:
    """The types of its values as far as they differ; None if they do not."""
    types = np.where(field.is_null().to_numpy(), np.int8(NULL), np.int8(TEXT)) if field.null_count() else None
    if not field.name.startswith(JSON_FIELD):
        return types
    of_json = field.str.slice(0, 1).replace_strict(_TYPES_OF_JSON, default=TEXT, return_dtype=pl.Int8)
    return np.where(field.is_null().to_numpy(), NULL, of_json.fill_null(TEXT).to_numpy())


def _left_out(field: pl.Series) -> Flags | None:
    """Which rows are left out because of a field (see the module); None if none is."""
    if field.dtype != pl.Float64:
        return None
    found = has_odd_spelling(field)
    return found.fill_null(value=False).to_numpy() if found.any() else None
