"""Of which kind files are: packing, format and options, the same for all of them.

Here: how the kinds of several files become one, and the words for it. Not here: how each format is recognized
(`text_formats`, `opened`), and the sample (`sample`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sessions_platform.contracts.header_file import with_header_names
from sessions_platform.errors import UserError
from sessions_platform.operations.inference.known_tools import KnownTool, known_tool
from sessions_platform.operations.inference.landing import suffix_of
from sessions_platform.operations.inference.opened import OpenedFile, open_files
from sessions_platform.operations.inference.text_formats import TextFormat, text_format
from sessions_platform.operations.inference.wrapped import IN_WORDS

_MOST_FILES = 5
_HEADER_FILES = "column_headers*.tsv"
_UNESCAPED_TAB = re.compile(r"(?<!\\)\t")
_TYPED = {"parquet": "Parquet", "arrow": "Arrow", "orc": "ORC", "avro": "Avro"}


@dataclass(frozen=True)
class Kind:
    """What files are.

    Attributes:
        files: those of them that are looked at, opened.
        options: by which their rows are decoded.
        source: the keys of a stream's source.
        says: what they are, in words.
        notes: sentences on files that are of another kind.
        preset: the name of the tool's whose files they are; None where that is not known.
    """

    files: tuple[OpenedFile, ...]
    options: dict[str, Any]
    source: dict[str, Any]
    says: str
    notes: tuple[str, ...]
    preset: str | None = None


def kind_of_files(files: Sequence[Path], scratch: Path) -> Kind:
    """Of which kind a few of the files are, from the first to the last; the first one decides.

    A file that is a tool's is of the kind that its preset states, whatever else it looks like.

    Raises:
        UserError: one can't be read, or the first is in no format that is known.
    """
    opened = open_files(_spread(files), scratch, _MOST_FILES)
    if known := known_tool(opened[0]):
        return _of_preset(opened, known)
    found, others = _format_of(opened)
    alike = tuple(each for each in opened if each not in others)
    if any(each.encoding != "utf-8" for each in alike):
        found = replace(found, options={**found.options, "encoding": "cp1252"})
    notes = tuple(f"{each.member or each.file.name} is of another format, and was left out." for each in others)
    return Kind(alike, found.options, _source_options(found, alike), _says(alike, found), (*found.notes, *notes))


def _of_preset(opened: Sequence[OpenedFile], known: KnownTool) -> Kind:
    """The kind of files of a tool."""
    preset, options, inside = known
    source: dict[str, Any] = {"preset": preset.name, **({"inside": inside} if inside else {})}
    stated = preset.stream["source"]
    if "header_file" in stated:
        source["header_file"] = str(opened[0].file.absolute().parent / stated["header_file"])
    if "archive" not in stated:
        source |= _archive_option(opened)
    within = f", inside of {IN_WORDS[inside]}" if inside else ""
    says = _says(opened, TextFormat({}, f"{preset.tool}, by the preset {preset.name}{within}"))
    return Kind(tuple(opened), options.model_dump(exclude_unset=True), source, says, (), preset.name)


def without_headers(files: Sequence[Path]) -> list[Path]:
    """The files without those that only name the fields of the others."""
    return [file for file in files if not file.match(_HEADER_FILES)] or list(files)


def _spread(files: Sequence[Path]) -> list[Path]:
    """A few of the files, from the first to the last."""
    if len(files) <= _MOST_FILES:
        return list(files)
    return [files[number * (len(files) - 1) // (_MOST_FILES - 1)] for number in range(_MOST_FILES)]


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
    return options | _archive_option(opened)


def _archive_option(opened: Sequence[OpenedFile]) -> dict[str, Any]:
    """The key of the source by which members of archives are files; nothing where there are none."""
    suffixes = {suffix_of(each.member) for each in opened if each.member is not None}
    if not suffixes:
        return {}
    return {"archive": f"**/*{suffixes.pop()}" if len(suffixes) == 1 else "**"}


def _says(opened: Sequence[OpenedFile], found: TextFormat) -> str:
    """What the files are, in words."""
    packing = f", packed by {opened[0].packing}" if opened[0].packing else ""
    archive = ", in an archive" if opened[0].member else ""
    encoding = f", in {found.options['encoding']}" if "encoding" in found.options else ""
    return f"{found.says}{encoding}{packing}{archive}"
