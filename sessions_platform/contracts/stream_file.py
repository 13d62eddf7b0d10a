"""Read a stream's YAML file, and report every problem of it with file, line, key, reason and fix.

PyYAML reads the file (YAML 1.1) into nodes first, because nodes have the lines of keys, and show repeated keys. Not
here: the rules themselves, of one key (the modules of the models, ``values``) and of two (``stream_checks``), what is
said of a value of the wrong kind (``model_errors``), short forms and presets (``short_forms``, ``presets``), and all
streams of a folder (``stream_folder``).
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError
from yaml.reader import ReaderError

from sessions_platform.contracts.enrichments import file_issues
from sessions_platform.contracts.header_file import with_header_names
from sessions_platform.contracts.issues import Issue, KeyPath
from sessions_platform.contracts.model_errors import explained
from sessions_platform.contracts.presets import Merged, with_preset
from sessions_platform.contracts.pseudonym_checks import pseudonym_issues
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_checks import cross_key_issues
from sessions_platform.contracts.wrappers import inside_issues, unwrapped
from sessions_platform.errors import UserError

_TEXT = "tag:yaml.org,2002:str"
_TRUTHS = ("true", "false")
_KEY_TAGS = {_TEXT, "tag:yaml.org,2002:merge"}
# Keys and values that a file may have, those of an anchor counted wherever it is used; these take about two seconds.
MAX_VALUES = 50_000
MAX_BYTES = 2_000_000
_CHARACTERS_OF_VALUE = 100  # a longer text counts as several values
_SURROGATE_OR_NUL = re.compile("[\0\ud800-\udfff]")  # PostgreSQL's text can contain neither


class ConfigProblem(NamedTuple):
    """One problem of one file. `line` is None where the file as a whole is meant, or could not be read."""

    file: Path
    line: int | None
    key: str
    reason: str
    fix: str

    def __str__(self) -> str:
        location = f"{self.file}:{self.line}" if self.line else str(self.file)
        message = f"{self.key}: {self.reason}. Fix: {self.fix}."
        text = f"{location}: {' '.join(message.splitlines())}"
        return text.encode(errors="backslashreplace").decode()  # a file's name may be no UTF-8


class StreamError(UserError):
    """One or more streams can't be used; `problems` says why, and the message has a line for each."""

    def __init__(self, problems: list[ConfigProblem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


def load_stream(path: Path, home: Path, pseudonym_key: str | None = None, folder: Path | None = None) -> Stream:
    """Read one stream.

    Args:
        path: its YAML file.
        home: the folder that `${SESSIONS_HOME}` means in it.
        pseudonym_key: of its pseudonyms, where it has some.
        folder: that relative paths in it start from; by default its own.

    Raises:
        StreamError: with every problem of the file, in the order of its lines.
    """
    lines, merged = _read_merged(path)
    if merged.issues:
        raise StreamError([_problem(path, lines, merged, issue) for issue in merged.issues])
    raw, folder = merged.content, folder or path.parent
    named, header_issues = with_header_names(raw, folder, home)
    content = {**named, "path": path, "home": home, "pseudonym_key": pseudonym_key}
    issues = [*header_issues, *cross_key_issues(raw), *pseudonym_issues(raw, pseudonym_key)]
    issues += file_issues(raw, folder, home)
    reported = {issue.key_path for issue in issues}
    try:
        stream = Stream.model_validate(content, context={"folder": folder, "home": home})
    except ValidationError as error:
        stream = None
        issues += [issue for issue in _model_issues(error, content, lines) if issue.key_path not in reported]
    if issues or stream is None:
        problems = [_problem(path, lines, merged, issue) for issue in issues]
        raise StreamError(sorted(problems, key=lambda problem: problem.line or 0))
    return stream


def line_of(path: Path, key_path: KeyPath) -> int | None:
    """The line, from 1, of a key of a stream's file, or of the last key above it that the file states.

    Raises StreamError where the file can't be read.
    """
    lines, _ = _read_merged(path)
    return _line_of(lines, key_path)


def expanded_content(path: Path) -> Merged:
    """The keys of a stream's file with those of its preset and its short forms written out. Raises StreamError."""
    return _read_merged(path)[1]


def _read_merged(path: Path) -> tuple[dict[KeyPath, int], Merged]:
    """The line of each key, those of a preset at the line that names it, and the keys of both. Raises StreamError."""
    lines, stated = _read_yaml(path)
    merged = with_preset(stated)
    issues = (*merged.issues, *inside_issues(merged.content))
    merged = merged._replace(content=unwrapped(merged.content), issues=issues)
    preset_line = lines.get(("source", "preset"), 1)
    return {**dict.fromkeys(merged.of_preset, preset_line), **lines}, merged


def _problem(path: Path, lines: dict[KeyPath, int], merged: Merged, issue: Issue) -> ConfigProblem:
    key_path, reason, fix = issue
    if _stated_part(key_path, lines) in merged.of_preset:
        reason += f" (the key is of the preset {merged.preset})"
    return ConfigProblem(path, _line_of(lines, key_path), _dotted(key_path), reason, fix)


# YAML ----------------------------------------------------------------------------------------------------


class _TooLargeError(ValueError):
    """A file has so many values that reading it would take minutes, or all of the memory."""


class _Loader(yaml.SafeLoader):
    """Reads a scalar that only looks like a date or number, as 2026-02-30, as text: the rule of its key reports it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        self._nodes += 1
        if self._nodes > MAX_VALUES:
            raise _TooLargeError
        return super().compose_node(parent, index)

    def construct_scalar(self, node: Any) -> Any:
        text = super().construct_scalar(node)
        if _SURROGATE_OR_NUL.search(text):
            raise yaml.MarkedYAMLError(problem="text that can't be stored", problem_mark=node.start_mark)
        return text


def _or_text(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A constructor that gives the scalar as text where the other one raises an error."""

    def constructed(loader: _Loader, node: yaml.Node) -> Any:
        try:
            return construct(loader, node)
        except (ValueError, ArithmeticError, LookupError, AttributeError):
            return loader.construct_scalar(node)

    return constructed


for _tag in (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "timestamp")):
    _Loader.add_constructor(_tag, _or_text(yaml.SafeLoader.yaml_constructors[_tag]))


def _read_yaml(path: Path) -> tuple[dict[KeyPath, int], dict[str, Any]]:
    """The line of each key, from 1, and the file's content. Raises StreamError."""
    text = _read_text(path)
    problems: list[ConfigProblem] = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        _count_values(node, {})
        lines = dict(_key_lines(path, node, (), problems))
        raw = loader.construct_document(node) if node else None
    except _TooLargeError:
        reason = f"it has more than {MAX_VALUES:,} values, those of an anchor counted wherever it is used"
        fix = "put long lists of values into a file, and name it with `references`"
        raise StreamError([ConfigProblem(path, None, "file", reason, fix)]) from None
    except RecursionError:
        fix = "write it flat, and let no anchor contain itself"
        raise StreamError([ConfigProblem(path, None, "file", "it is nested without end", fix)]) from None
    except yaml.YAMLError as error:
        raise StreamError([_yaml_problem(path, text, error)]) from None
    if not isinstance(raw, dict):
        fix = "begin with name:, start:, source: and columns:"
        raise StreamError([ConfigProblem(path, 1, "file", "it has no keys and values", fix)])
    if problems:
        raise StreamError(problems)
    return _attributes(lines, raw) if _is_component(raw) else (lines, raw)


def _is_component(raw: dict[str, Any]) -> bool:
    """Whether a file is a component of a Dagster project, `type: sessions_platform.Stream`."""
    return isinstance(raw.get("type"), str) and raw["type"].startswith("sessions_platform.")


def _attributes(lines: dict[KeyPath, int], raw: dict[str, Any]) -> tuple[dict[KeyPath, int], dict[str, Any]]:
    """The attributes of a component, which are the keys of a stream, with their lines."""
    attributes = raw.get("attributes")
    inside = {key_path[1:]: line for key_path, line in lines.items() if key_path[0] == "attributes" and key_path[1:]}
    return inside, attributes if isinstance(attributes, dict) else {}


def _count_values(node: yaml.Node | None, counted: dict[int, int | None]) -> int:
    """How many keys and values a node has when anchors are replaced by what they stand for.

    Args:
        node: the root of a file's nodes, which aliases share.
        counted: by the identity of each node its number; None while it is being counted.

    Raises:
        RecursionError: an anchor contains itself.
        _TooLargeError: there are more than MAX_VALUES.
    """
    if not isinstance(node, yaml.CollectionNode):
        return 1 + len(node.value) // _CHARACTERS_OF_VALUE if node else 0
    if id(node) in counted:
        number = counted[id(node)]
        if number is None:
            raise RecursionError
        return number
    counted[id(node)] = None
    is_mapping = isinstance(node, yaml.MappingNode)
    children = [child for pair in node.value for child in pair] if is_mapping else node.value
    number = 1
    for child in children:
        number += _count_values(child, counted)
        if number > MAX_VALUES:
            raise _TooLargeError
    counted[id(node)] = number
    return number


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            fix = "put long lists of values into a file, and name it with `references`"
            problem = ConfigProblem(path, None, "file", f"it has more than {MAX_BYTES:,} bytes", fix)
            raise StreamError([problem])
        return path.read_text(encoding="utf-8")
    except OSError as error:
        fix = "name a file that can be read"
        raise StreamError([ConfigProblem(path, None, "file", error.strerror or str(error), fix)]) from None
    except UnicodeDecodeError:
        raise StreamError([ConfigProblem(path, None, "file", "it is not UTF-8", "save it as UTF-8")]) from None


def _yaml_problem(path: Path, text: str, error: yaml.YAMLError) -> ConfigProblem:
    line, reason = None, str(error)
    if isinstance(error, ReaderError):
        line, reason = text.count("\n", 0, error.position) + 1, error.reason
    elif isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        line, reason = error.problem_mark.line + 1, error.problem or reason
    return ConfigProblem(path, line, "file", f"not YAML: {reason}", "correct the line")


def _key_lines(
    path: Path, node: yaml.Node | None, parent: KeyPath, problems: list[ConfigProblem]
) -> Iterator[tuple[KeyPath, int]]:
    """The line of each key below a node. Keys that are repeated or not text are added to `problems`.

    Of lists only the enrichments of one kind are told apart, by their numbers from 1.
    """
    if isinstance(node, yaml.SequenceNode) and parent[-2:-1] == ("enrich",) and "columns" not in parent:
        for number, item in enumerate(node.value, 1):
            key_path = (*parent, str(number))
            yield key_path, item.start_mark.line + 1
            yield from _key_lines(path, item, key_path, problems)
    if not isinstance(node, yaml.MappingNode):
        return
    names: set[str] = set()
    for key, value in node.value:
        if key.value in _TRUTHS:  # names, too; not so `on` and `yes`, which YAML 1.1 reads as the same
            key.tag = _TEXT
        name, line = str(key.value), key.start_mark.line + 1
        key_path = (*parent, name)
        if name in names:
            problems.append(ConfigProblem(path, line, _dotted(key_path), "the key is repeated", "keep one of the two"))
        if key.tag not in _KEY_TAGS:
            problems.append(ConfigProblem(path, line, _dotted(key_path), "the key is not read as text", "quote it"))
        names.add(name)
        yield key_path, line
        yield from _key_lines(path, value, key_path, problems)


def _dotted(key_path: KeyPath) -> str:
    return ".".join(part or '""' for part in key_path) or "file"


def _stated_part(key_path: KeyPath, lines: dict[KeyPath, int]) -> KeyPath:
    """A key path up to the last key that the file states."""
    while key_path and key_path not in lines:
        key_path = key_path[:-1]
    return key_path


def _line_of(lines: dict[KeyPath, int], key_path: KeyPath) -> int | None:
    return lines.get(_stated_part(key_path, lines))


# Pydantic's errors ---------------------------------------------------------------------------------------


def _model_issues(error: ValidationError, content: dict[str, Any], lines: dict[KeyPath, int]) -> Iterator[Issue]:
    reported: set[tuple[KeyPath, Any]] = set()
    for details in error.errors():
        location = details["loc"]
        key_path = tuple(str(part) for part in location)
        if details["type"] not in {"missing", "extra_forbidden"}:  # else it also names union members and indices
            key_path = _stated_part(key_path, lines)
        index = next((part for part in location[len(key_path) :] if isinstance(part, int)), None)
        if (key_path, index) not in reported:  # a union reports each of its members
            reported.add((key_path, index))
            yield Issue(key_path, *explained(details, key_path, content))
