"""By what records are known as those of a tool: which presets fit a file, and that a file is not of the preset named.

Here: presets' `told_by` held against decoded records, for `init` and for the sentence on a foreign file. Not here: the
model of a preset (``contracts.presets``), and what its columns are read from (``transforms.parse``).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

import polars as pl

from sessions_platform.contracts.columns import ENVELOPE
from sessions_platform.contracts.field_paths import Match, Parsed, Step, alternatives, steps_of
from sessions_platform.contracts.formats import FORMATS, FormatOptions
from sessions_platform.contracts.header_file import with_header_names
from sessions_platform.contracts.presets import Preset, ToldBy, preset_named, preset_names
from sessions_platform.contracts.sources import SourceConfig
from sessions_platform.sources.formats.base import Content, Decoder, Fields, Format, RecordBlock, decode_all
from sessions_platform.sources.formats.envelopes import envelope_decoder
from sessions_platform.sources.formats.errors import CorruptDataError, MalformedError
from sessions_platform.sources.formats.regex import LinePattern
from sessions_platform.sources.formats.registry import open_format
from sessions_platform.sources.formats.typed.payloads import payloads_of

_ROWS = 200  # of a file, one of which has to be the tool's
_FEW_ROWS = 40  # of a file of unknown kind
_LINES = 2000
_BLOCK = 1 << 18
_SHOWN = 6
_MOSTLY = 0.5  # of the records; others may be a server's notes
_DECIDING = ("format", "events", "pattern", "parse")
_JSON = ("ndjson", "json")


class ToldFormat:
    """The format of a stream that names a preset: a file of which no record is the tool's is corrupt, as a whole."""

    def __init__(self, inner: Format, options: FormatOptions, preset: Preset) -> None:
        self._inner, self._options, self._preset = inner, options, preset

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """The records of the format. Raises CorruptDataError before the first one where the file is another's."""
        waiting: list[RecordBlock] = []
        rows: list[Fields | MalformedError] = []
        blocks, decoder = self._inner.records(content, block_bytes), self._inner.decoder()
        for block in blocks:
            waiting.append(block)
            found = rows_of(block, self._options, decoder, _ROWS)
            rows += found
            if any(self._is_own(fields) for fields in found):
                break
            if len(rows) >= _ROWS:
                raise self._foreign(waiting, rows)
        else:
            if rows:
                raise self._foreign(waiting, rows)
        yield from waiting
        yield from blocks

    def decoder(self) -> Decoder:
        """That of the format."""
        return self._inner.decoder()

    def _is_own(self, fields: Fields | MalformedError) -> bool:
        return not isinstance(fields, MalformedError) and is_of(self._preset.told_by, fields)

    def _foreign(self, blocks: Sequence[RecordBlock], rows: Sequence[Fields | MalformedError]) -> CorruptDataError:
        fields = [row for row in rows if not isinstance(row, MalformedError)]
        text = b"".join(map(text_of, blocks))
        fitting = presets_of_text(text) if text else presets_of_text(b"", fields)
        found = f"fields {_listed(fields[0])}" if fields else f"nothing that can be read: {rows[0]}"
        fix = (
            f"name the preset {' or '.join(fitting)}, which fits"
            if fitting
            else "deliver files of the tool, or write the stream's keys out, as `check --expanded` prints them"
        )
        return CorruptDataError(
            f"is no file of {self._preset.tool}: the preset {self._preset.name} expects the fields "
            f"{', '.join(self._preset.told_by.fields)}, and the first records have {found}. Fix: {fix}"
        )


def of_preset(opened: Format, source: SourceConfig) -> Format:
    """The format of a stream's source, which refuses foreign files where a preset says how its records are written."""
    if source.preset is None:
        return opened
    preset, stated = preset_named(source.preset), _own_options(source.preset)
    is_as_stated = all(getattr(stated, key) == getattr(source, key) for key in _DECIDING)
    return ToldFormat(opened, source, preset) if is_as_stated else opened


def presets_of_text(text: bytes, typed_rows: Sequence[Fields] = (), folder: Path | None = None) -> list[str]:
    """The names of the presets whose tool has written a text that begins so, as far as its records tell it.

    Args:
        text: the beginning of a file's text; empty for a format that is none.
        typed_rows: the records of a file of a format with types.
        folder: of the file, where another file may have the names of its fields.
    """
    lines = text.decode(errors="replace").splitlines()[:_LINES]
    is_json = text.lstrip()[:1] in (b"{", b"[")
    decoded: dict[str, list[Fields]] = {}
    found: list[str] = []
    for preset in map(preset_named, preset_names()):
        options = options_of(preset, folder)
        if options is None or not may_be_in(options, lines, is_json=is_json):
            continue
        key = options.model_dump_json()
        if key not in decoded:
            decoded[key] = _decoded(text, options) if FORMATS[options.format].is_text else list(typed_rows)
        if is_told(preset.told_by, decoded[key], lines):
            found.append(preset.name)
    return found


def may_be_in(options: FormatOptions, lines: Sequence[str], *, is_json: bool) -> bool:
    """Whether lines are worth decoding in a format: the reasons why hundreds do not match a pattern take a second."""
    if not FORMATS[options.format].is_text:
        return not lines
    if options.pattern is None or options.format != "regex":
        return is_json == (options.format in _JSON)
    return bool(LinePattern(options.pattern).cut(pl.Series(lines[:_FEW_ROWS], dtype=pl.String))[1].any())


def is_told(told: ToldBy, rows: Sequence[Fields], lines: Sequence[str]) -> bool:
    """Whether most records have the fields of a tool, and the lines what only its lines have."""
    if not rows or sum(is_of(told, fields) for fields in rows) < _MOSTLY * len(rows):
        return False
    some, none = told.some_line, told.no_line
    if some is not None and not _contained(some, lines):
        return False
    return none is None or not _contained(none, lines)


def is_of(told: ToldBy, fields: Fields) -> bool:
    """Whether a record has the fields of a tool; those of its envelope begin with ^."""
    return (
        all(has(fields, path) for path in told.fields)
        and (not told.any_of or any(all(has(fields, path) for path in some) for some in told.any_of))
        and not any(has(fields, path) for path in told.absent)
    )


def has(fields: Fields, path: str) -> bool:
    """Whether a record has the field at a path, null or not."""
    return path in fields or any(_leads(fields, _steps(each)) for each in alternatives(path))


def _steps(path: str) -> tuple[Step, ...]:
    steps = steps_of(path.removeprefix(ENVELOPE))
    return (f"{ENVELOPE}{steps[0]}", *steps[1:]) if path.startswith(ENVELOPE) else steps


def _leads(value: Any, steps: tuple[Step, ...]) -> bool:
    try:
        for step in steps:
            value = _entered(value, step)
    except (KeyError, IndexError, StopIteration):
        return False
    return True


def _entered(value: Any, step: Step) -> Any:
    """What a step leads to. Raises KeyError, IndexError or StopIteration where there is nothing."""
    if step is Parsed.json and isinstance(value, str):
        return _parsed(value)
    if isinstance(step, str) and isinstance(value, dict):
        return value[step]
    if isinstance(step, int) and isinstance(value, list):
        return value[step]
    if isinstance(step, Match) and isinstance(value, list):
        return next(each for each in value if isinstance(each, dict) and str(each.get(step.key)) == step.value)
    raise KeyError(step)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _contained(pattern: str, lines: Iterable[str]) -> bool:
    return bool(pl.Series(list(lines), dtype=pl.String).str.contains(pattern).any())


# Records -------------------------------------------------------------------------------------------------


def rows_of(block: RecordBlock, options: FormatOptions, decoder: Decoder, most: int) -> list[Fields | MalformedError]:
    """The first records of a block that are no comments, decoded, each with the fields of its envelope."""
    header = block.header if isinstance(block.header, pl.Series) else pl.lit(block.header, pl.Binary)
    payloads = block.payloads if block.fields is None else payloads_of(block.fields.head(most))
    records = payloads.alias("payload").to_frame().with_columns(header.alias("header"))
    for comment in {options.comment, FORMATS[options.format].comment} - {None, ""}:
        records = records.filter(~pl.col("payload").bin.starts_with(str(comment).encode()))
    records = records.head(most)
    headers, envelope = records["header"].to_list(), envelope_decoder(options)
    decoded = decode_all(decoder, records["payload"].to_list(), headers)
    return [
        fields if isinstance(fields, MalformedError) else fields | envelope_of(header, envelope)
        for fields, header in zip(decoded, headers, strict=True)
    ]


def envelope_of(header: bytes | None, decode: Callable[[bytes], Fields]) -> Fields:
    """The fields of an envelope, each with ^ before its name; none where the header is none, as the names of CSV."""
    try:
        return {f"{ENVELOPE}{key}": value for key, value in decode(header).items()} if header else {}
    except MalformedError:
        return {}


def text_of(block: RecordBlock) -> bytes:
    """The beginning of the text that a block was cut from; empty where its records are not parts of a text."""
    if block.terminators is None:
        return b""
    parts = zip(block.payloads.head(_ROWS).to_list(), block.terminators.head(_ROWS).to_list(), strict=True)
    return block.preamble + b"".join(payload + terminator for payload, terminator in parts)


def _listed(fields: Fields) -> str:
    """The names of a record's first fields."""
    names = list(fields)
    return f"{', '.join(names[:_SHOWN])}{' …' if len(names) > _SHOWN else ''}"


class Text:
    """A text in memory, as a format reads it."""

    max_bytes = 1 << 30
    open_bytes = 0
    has_open_head = False

    def __init__(self, text: bytes) -> None:
        self._text = text

    def text(self) -> Iterator[bytes]:
        yield self._text

    def file(self) -> FileIO:
        raise CorruptDataError("is a text")


def _decoded(text: bytes, options: FormatOptions) -> list[Fields]:
    """The first records of a text by these options; none where most can't be decoded."""
    opened = open_format(options)
    rows: list[Fields | MalformedError] = []
    try:
        for block in opened.records(Text(text), _BLOCK):
            rows += rows_of(block, options, opened.decoder(), _FEW_ROWS - len(rows))
            if len(rows) >= _FEW_ROWS:
                break
    except CorruptDataError:
        pass  # the beginning ends amid a record
    fields = [row for row in rows if not isinstance(row, MalformedError)]
    return fields if len(fields) >= _MOSTLY * len(rows) else []


def options_of(preset: Preset, folder: Path | None) -> FormatOptions | None:
    """How a preset says that records are written; None where the names of fields are in a file that is not there."""
    stated = {"source": preset.stream["source"]}
    if "header_file" not in stated["source"]:
        return _own_options(preset.name)
    named, _ = with_header_names(stated, folder, folder) if folder else (stated, [])
    return _format_options(named["source"]) if "header" in named["source"] else None


@cache
def _own_options(name: str) -> FormatOptions:
    return _format_options(preset_named(name).stream["source"])


def _format_options(source: Mapping[str, Any]) -> FormatOptions:
    stated = {key: value for key, value in source.items() if key in FormatOptions.model_fields and key != "header_file"}
    return FormatOptions.model_validate(stated)
