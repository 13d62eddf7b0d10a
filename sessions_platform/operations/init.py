"""A stream for files of unknown kind: what they are, the stream that reads them, and what it makes of their rows.

Here: the steps, and how a draft is corrected by what a preview of it shows. Not here: the inference (`inference`), and
how the result is printed (`cli.init`).
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sessions_platform.contracts.presets import preset_named
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.contracts.stream_folder import read_streams
from sessions_platform.errors import UserError
from sessions_platform.operations.given_files import in_folders
from sessions_platform.operations.inference.draft import Draft, drafted, start_before
from sessions_platform.operations.inference.kind import Kind, kind_of_files, without_headers
from sessions_platform.operations.inference.known_tools import ANY_START, drafted_by, reasons_of
from sessions_platform.operations.inference.landing import Template, landing_template, relative_to
from sessions_platform.operations.inference.sample import Sample, sample_of
from sessions_platform.operations.inference.stream_text import stream_text
from sessions_platform.operations.preview import Preview, preview
from sessions_platform.settings import DEMO_STREAMS, Settings, make_private_folder
from sessions_platform.transforms.silences import Silences, silences

_ROWS_TRIED = 20_000
_ROWS_SHOWN = 5
_FEW = 0.002
_ANY_STREAM: dict[str, Any] = {
    "start": "2026-01-01",
    "source": {"files": "*", "format": "ndjson"},
    "columns": {"user_id": {}, "event_timestamp": {"formats": ["iso8601"]}, "event_type": {}},
}


@dataclass(frozen=True)
class Proposal:
    """The stream that is proposed for files.

    Attributes:
        name: of the stream.
        text: the content of its file.
        says: what the files are.
        reasons: by column that the platform knows, what it is read from and why.
        problems: sentences on what could not be told, so that the file needs an edit before the stream can be used.
        warnings: sentences on what is doubtful.
        sample: the rows that were looked at.
        shown: what the first rows become; None where the file needs an edit.
        tried: what 20,000 rows become, as many of each file; None where the file needs an edit.
        silences: of the events among the first 20,000 rows, in which none is missing between two.
    """

    name: str
    text: str
    says: str
    reasons: Mapping[str, str]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    sample: Sample
    shown: Preview | None = None
    tried: Preview | None = None
    silences: Silences | None = None


def propose(name: str, files: Sequence[Path], settings: Settings, folder: Path | None = None) -> Proposal:
    """Look at files, and propose a stream that reads them. Nothing is written but copies of members of archives.

    Args:
        name: of the stream.
        files: all of one format; of a folder, all files below it.
        settings: name the folder of these copies.
        folder: where the stream's file will be; files below it are read where they are.

    Raises:
        UserError: a file can't be read, no row can be decoded, or the files are in no format that is known; and where
            the name can't be that of a stream.
    """
    named = without_headers(in_folders(files))
    kind = kind_of_files(named, settings.scratch)
    sample = sample_of(kind.files, kind.options)
    if not sample.rows:
        raise UserError(f"{named[0]}: it seems to be {kind.says}, but {_without_rows(sample)}.")
    paths = [Path(os.path.normpath(each.absolute())) for each in named]
    draft = _drafted(name, kind, sample, paths, folder, settings)
    if draft.missing:
        return _proposal(draft.at(_template(name, paths, folder)), kind, sample)
    fitting, tried = _fitting(name, draft, paths, folder, settings)
    proposal = _proposal(fitting, kind, sample)
    stream = _loaded(name, proposal.text, settings, folder)
    shown = preview(stream, settings, paths[:1], _ROWS_SHOWN)
    in_order = preview(stream, settings, paths, _ROWS_TRIED, in_order=True) if len(paths) > 1 else tried
    counted = silences(in_order.events) if in_order.events.height else None
    warnings = (*proposal.warnings, *_left(tried))
    return replace(proposal, warnings=warnings, shown=shown, tried=tried, silences=counted)


def _without_rows(sample: Sample) -> str:
    if not sample.read:
        return "it has no row. Fix: name a file with events"
    if not sample.reason:
        return "no row can be decoded. Fix: name another file"
    fix = "" if ". Fix: " in sample.reason else ". Fix: name another file"
    return f"no row can be decoded: {sample.reason}{fix}"


def _drafted(
    name: str, kind: Kind, sample: Sample, paths: Sequence[Path], folder: Path | None, settings: Settings
) -> Draft:
    """The stream that names the preset of a tool, or all keys that were inferred."""
    if kind.preset is None:
        return drafted(name, kind.source, sample, datetime.now(UTC))
    draft = drafted_by(preset_named(kind.preset), name, kind.source)
    events = _tried(name, draft.at(_template(name, paths, folder)), paths, folder, settings).events
    first = events["event_timestamp"].min()
    start = start_before(first if isinstance(first, datetime) else datetime.now(UTC))
    return replace(draft, keys={**draft.keys, "start": max(start, ANY_START)})


def _proposal(draft: Draft, kind: Kind, sample: Sample) -> Proposal:
    """What is known without a preview."""
    rows = f"{len(sample.rows):,} of {sample.read:,} rows" + ("" if sample.is_whole else " of its first blocks")
    header = (f"Made by `sessions-platform init`. The files: {kind.says}.", f"Inferred from a sample of {rows}.")
    text = stream_text(draft.keys, header, draft.reasons, draft.missing)
    columns = {name: draft.reasons.get(f"columns.{name}") for name in draft.keys.get("columns", ())}
    reasons = {name: given[0] for name, given in columns.items() if given}
    if kind.preset:
        reasons = reasons_of(preset_named(kind.preset), draft)
    warnings = (*kind.notes, *draft.warnings)
    return Proposal(draft.keys["name"], text, kind.says, reasons, tuple(draft.missing.values()), warnings, sample)


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
        if "columns" in corrected.keys and (wrong := _unfit(tried, corrected)):
            corrected = corrected.without(wrong)
            tried = _tried(name, corrected, paths, folder, settings)
        if tried.rejected_by_reason.get(Code.future_timestamp, 0) <= _FEW * tried.raw_rows:
            return corrected, tried
        draft = corrected
    assert tried is not None
    return draft, tried


def _candidates(name: str, draft: Draft, paths: Sequence[Path], folder: Path | None) -> Iterator[Draft]:
    """The draft with the hours or dates in names as they are, as those of another zone, and not used."""
    dated = draft.at(_template(name, paths, folder))
    yield dated
    yield dated.with_future("1d")
    yield draft.at(_template(name, paths, None, by_file_name=False))


def _tried(name: str, draft: Draft, paths: Sequence[Path], folder: Path | None, settings: Settings) -> Preview:
    return preview(_loaded(name, stream_text(draft.keys, (), {}, {}), settings, folder), settings, paths, _ROWS_TRIED)


def _unfit(tried: Preview, draft: Draft) -> list[str]:
    """The columns without a role some of whose values are not of their type; event_id if many rows contradict it."""
    wrong = {
        reason["column"]
        for reasons in tried.rejected["reasons"] for reason in reasons
        if reason["code"] in (Code.wrong_type, Code.bad_timestamp)
    }  # fmt: skip
    unfit = [name for name in draft.keys["columns"] if name in wrong and draft.keys["columns"][name].get("nullable")]
    contradict = tried.rejected_by_reason.get(Code.conflicting_duplicate, 0) > _FEW * tried.raw_rows
    return [*unfit, *(["event_id"] if contradict else [])]


def _loaded(name: str, text: str, settings: Settings, folder: Path | None) -> Stream:
    """The stream that a file of this text would be, in the folder where it will be."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return load_stream(path, settings.home).model_copy(update={"path": (folder or Path()) / path.name})


def _left(tried: Preview) -> Iterator[str]:
    """A sentence where more than one row in a hundred is rejected."""
    if tried.rejected_rows * 100 > tried.raw_rows:
        reasons: Mapping[str, int] = tried.rejected_by_reason
        listed = ", ".join(f"{code} {rows:,}" for code, rows in reasons.items())
        yield f"{tried.rejected_rows:,} of {tried.raw_rows:,} rows are rejected: {listed}."
