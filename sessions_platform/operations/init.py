"""A stream for files of unknown kind: what they are, the stream that reads them, and what it makes of their rows.

Here: the steps, and how a draft is corrected by what a preview of it shows. Not here: the inference (`inference`), and
how the result is printed (`cli.init`).
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sessions_platform.contracts.header_file import with_header_names
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.contracts.stream_folder import read_streams
from sessions_platform.errors import UserError
from sessions_platform.operations.inference.draft import Draft, drafted
from sessions_platform.operations.inference.landing import Template, landing_template, relative_to, suffix_of
from sessions_platform.operations.inference.opened import OpenedFile, open_files
from sessions_platform.operations.inference.sample import Sample, sample_of
from sessions_platform.operations.inference.stream_text import stream_text
from sessions_platform.operations.inference.text_formats import TextFormat, text_format
from sessions_platform.operations.preview import Preview, preview
from sessions_platform.settings import DEMO_STREAMS, Settings, make_private_folder
from sessions_platform.transforms.silences import Silences, silences

_MOST_FILES = 5
_ROWS_TRIED = 20_000
_ROWS_SHOWN = 5
_FEW = 0.002
_TYPE_CODES = {"wrong_type", "bad_timestamp"}
_HEADER_FILES = "column_headers*.tsv"
_UNESCAPED_TAB = re.compile(r"(?<!\\)\t")
_ANY_STREAM: dict[str, Any] = {
    "start": "2026-01-01",
    "source": {"files": "*", "format": "ndjson"},
    "columns": {"user_id": {}, "event_timestamp": {"formats": ["iso8601"]}, "event_type": {}},
}
_TYPED = {"parquet": "Parquet", "arrow": "Arrow", "orc": "ORC", "avro": "Avro"}


@dataclass(frozen=True)
class Proposal:
    """The stream that is proposed for files.

    Attributes:
        name: of the stream.
        text: the content of its file.
        says: what the files are.
        problems: sentences on what could not be told, so that the file needs an edit before the stream can be used.
        warnings: sentences on what is doubtful.
        sample: the rows that were looked at.
        shown: what the first rows become; None where the file needs an edit.
        tried: what the first 20,000 rows become; None where the file needs an edit.
        silences: of the events among these; None where there are none.
    """

    name: str
    text: str
    says: str
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    sample: Sample
    shown: Preview | None
    tried: Preview | None
    silences: Silences | None


def propose(name: str, files: Sequence[Path], settings: Settings, folder: Path | None = None) -> Proposal:
    """Look at files, and propose a stream that reads them. Nothing is written but copies of members of archives.

    Args:
        name: of the stream.
        files: all of one format.
        settings: name the folder of these copies.
        folder: where the stream's file will be; files below it are read where they are.

    Raises:
        UserError: a file can't be read, no row can be decoded, or the files are in no format that is known; and where
            the name can't be that of a stream.
    """
    named = _without_headers(files)
    opened = open_files(_spread(named), settings.scratch, _MOST_FILES)
    found, others = _format_of(opened)
    encoding = {"encoding": "cp1252"} if any(each.encoding != "utf-8" for each in opened) else {}
    found = replace(found, options={**found.options, **encoding})
    sample = sample_of([each for each in opened if each not in others], found.options)
    if not sample.rows:
        why = f": {sample.reason}" if sample.reason else ""
        raise UserError(f"{named[0]}: it seems to be {found.says}, but no row can be decoded{why}.")
    draft = drafted(name, _source_options(found, opened), sample, datetime.now(UTC))
    paths = [Path(os.path.normpath(each.absolute())) for each in named]
    says = _says(opened, found)
    warnings = (*found.notes, *draft.warnings, *(f"{each.file}: it is of another format." for each in others))
    if draft.missing:
        draft = draft.at(_template(name, paths, folder))
        text = _text(draft, says, sample)
        return Proposal(name, text, says, tuple(draft.missing.values()), warnings, sample, None, None, None)
    fitting, tried = _fitting(name, draft, paths, folder, settings)
    text = _text(fitting, says, sample)
    shown = preview(_loaded(name, text, settings, folder), settings, paths[:1], _ROWS_SHOWN)
    counted = silences(tried.events) if tried.events.height else None
    return Proposal(name, text, says, (), (*warnings, *_left(tried)), sample, shown, tried, counted)


def new_stream_path(name: str, settings: Settings) -> Path:
    """Where the file of a new stream belongs: in the folder that SESSIONS_STREAMS names.

    Raises:
        UserError: no folder is named, there is a stream or a file of this name, or no stream can have the name.
    """
    own = [folder for folder in settings.streams if folder != DEMO_STREAMS]
    if not own:
        raise UserError(
            "SESSIONS_STREAMS names no folder for the stream's file. Fix: export SESSIONS_STREAMS=~/streams, or add "
            "--print to see the file only."
        )
    check_name(name)
    folder = own[-1]
    path = folder / f"{name}.yaml"
    taken = [file for file in (path, path.with_suffix(".yml")) if file.exists()]
    if folder.is_dir() and not taken:
        streams = read_streams(settings.streams, settings.home, settings.pseudonym_key)
        taken = [streams.usable[name].path] if name in streams.usable else []
        taken += [folder] if name in streams.broken else []
    if taken:
        raise UserError(
            f"{name}: {taken[0]} has a stream of this name, which is not replaced. Fix: choose another name."
        )
    return path


def check_name(name: str) -> None:
    """Raise UserError where no stream can have the name."""
    text = stream_text({**_ANY_STREAM, "name": name}, (), {}, {})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            load_stream(path, Path(folder))
        except StreamError as error:
            problem = error.problems[0]
            raise UserError(f"{name}: {problem.reason}. Fix: {problem.fix}.") from None


def write_stream(path: Path, text: str) -> None:
    """Write the file of a new stream, for its owner alone. Raises UserError where it exists, or can't be written."""
    try:
        make_private_folder(path.parent)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{path}: it can't be written: {error.strerror}. Fix: choose another name or folder.") from None


# What the files are --------------------------------------------------------------------------------------


def _spread(files: Sequence[Path]) -> list[Path]:
    """A few of the files, from the first to the last."""
    if len(files) <= _MOST_FILES:
        return list(files)
    return [files[number * (len(files) - 1) // (_MOST_FILES - 1)] for number in range(_MOST_FILES)]


def _without_headers(files: Sequence[Path]) -> list[Path]:
    """The files without those that only name the fields of the others."""
    return [file for file in files if not file.match(_HEADER_FILES)] or list(files)


def _format_of(opened: Sequence[OpenedFile]) -> tuple[TextFormat, list[OpenedFile]]:
    """The format of the first file, and the files that are of another one."""
    first = opened[0]
    found = _one_format(first)
    if found is None:
        beginning = first.text[:60].splitlines()[0] if first.text.strip() else ""
        raise UserError(
            f"{first.file}: it is none of JSON, CSV, an access log, W3C or logfmt; it begins with {beginning!r}. Fix: "
            "write the stream's file yourself, with format: regex and a pattern of its lines."
        )
    kinds = [_one_format(each) for each in opened]
    others = [
        each for each, kind in zip(opened, kinds, strict=True)
        if kind is None or kind.options["format"] != found.options["format"]
    ]  # fmt: skip
    return found, others


def _one_format(opened: OpenedFile) -> TextFormat | None:
    if opened.typed_format:
        return TextFormat({"format": opened.typed_format}, f"{_TYPED[opened.typed_format]}, with types")
    found = text_format(opened.text, is_whole=opened.is_whole)
    if found and found.options["format"] == "csv" and "header" in found.options:
        return _with_header_file(opened, found)
    return found


def _with_header_file(opened: OpenedFile, found: TextFormat) -> TextFormat:
    """The format with the names of a file beside it, as data feeds have one, where it names as many fields."""
    for file in sorted(opened.file.absolute().parent.glob(_HEADER_FILES)):
        options = {key: value for key, value in found.options.items() if key != "header"}
        options |= {"quote": None, "escape": "\\"} if options.get("separator") == "\t" else {}
        raw, issues = with_header_names({"source": {**options, "header_file": str(file)}}, Path(), Path())
        names = raw["source"].get("header", ())
        if not issues and len(names) == len(_UNESCAPED_TAB.split(opened.text.splitlines()[0])):
            says = f"a data feed: CSV, {len(names)} fields between tabs, named by {file.name}"
            return TextFormat({**options, "header_file": str(file), "header": names}, says)
    return found


def _source_options(found: TextFormat, opened: Sequence[OpenedFile]) -> dict[str, Any]:
    """The keys of the source, as the stream's file has them."""
    options = dict(found.options)
    if "header_file" in options:
        del options["header"]
    members = [each for each in opened if each.member is not None]
    if members:
        suffixes = {suffix_of(each.member or "") for each in members}
        options["archive"] = f"**/*{suffixes.pop()}" if len(suffixes) == 1 else "**"
    return options


def _says(opened: Sequence[OpenedFile], found: TextFormat) -> str:
    """What the files are, in words."""
    packing = f", packed by {opened[0].packing}" if opened[0].packing else ""
    archive = ", in an archive" if opened[0].member else ""
    encoding = f", in {found.options['encoding']}" if "encoding" in found.options else ""
    return f"{found.says}{encoding}{packing}{archive}"


# The stream that fits ------------------------------------------------------------------------------------


def _template(name: str, paths: Sequence[Path], folder: Path | None, *, by_file_name: bool = True) -> Template:
    """Where the landing files are: where they lie, if that is below the folder of the stream's file."""
    template = landing_template(name, paths, by_file_name=by_file_name)
    inside = relative_to(template.in_place, folder) if template.in_place and folder else None
    return Template(inside, "the date in a file's path is its landing partition") if inside else template


def _fitting(
    name: str, draft: Draft, paths: Sequence[Path], folder: Path | None, settings: Settings
) -> tuple[Draft, Preview]:
    """The draft, corrected where a preview rejects rows for what a sample did not show; and the last preview."""
    tried: Preview | None = None
    for candidate in _candidates(name, draft, paths, folder):
        corrected = candidate
        tried = _tried(name, corrected, paths, folder, settings)
        if wrong := _of_wrong_type(tried, corrected):
            corrected = corrected.as_text(wrong)
            tried = _tried(name, corrected, paths, folder, settings)
        if tried.rejected_by_reason.get("future_timestamp", 0) <= _FEW * tried.raw_rows:
            return corrected, tried
        draft = corrected
    assert tried is not None
    return draft, tried


def _candidates(name: str, draft: Draft, paths: Sequence[Path], folder: Path | None) -> Iterator[Draft]:
    """The draft with the dates in names as they are, as days of another zone, and not used."""
    dated = draft.at(_template(name, paths, folder))
    yield dated
    yield dated.with_future("1d")
    yield draft.at(_template(name, paths, None, by_file_name=False))


def _tried(name: str, draft: Draft, paths: Sequence[Path], folder: Path | None, settings: Settings) -> Preview:
    return preview(_loaded(name, stream_text(draft.keys, (), {}, {}), settings, folder), settings, paths, _ROWS_TRIED)


def _of_wrong_type(tried: Preview, draft: Draft) -> list[str]:
    """The columns without a role of which some values are not of their type."""
    wrong = {
        reason["column"]
        for reasons in tried.rejected["reasons"] for reason in reasons
        if reason["code"] in _TYPE_CODES
    }  # fmt: skip
    return [name for name in draft.keys["columns"] if name in wrong and draft.keys["columns"][name].get("nullable")]


def _loaded(name: str, text: str, settings: Settings, folder: Path | None) -> Stream:
    """The stream that a file of this text would be, in the folder where it will be."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return load_stream(path, settings.home).model_copy(update={"path": (folder or Path()) / path.name})


def _text(draft: Draft, says: str, sample: Sample) -> str:
    rows = f"{len(sample.rows):,} of {sample.read:,} rows" + ("" if sample.is_whole else " of its first blocks")
    header = (f"Made by `sessions-platform init`. The files: {says}.", f"Inferred from a sample of {rows}.")
    return stream_text(draft.keys, header, draft.reasons, draft.missing)


def _left(tried: Preview) -> Iterator[str]:
    """A sentence where more than one row in a hundred is rejected."""
    if tried.rejected_rows * 100 > tried.raw_rows:
        reasons: Mapping[str, int] = tried.rejected_by_reason
        listed = ", ".join(f"{code} {rows:,}" for code, rows in reasons.items())
        yield f"{tried.rejected_rows:,} of {tried.raw_rows:,} rows are rejected: {listed}."
