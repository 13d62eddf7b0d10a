"""Read a stream's YAML file, and say what is wrong with it: file, line, key, reason, mend."""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from yaml.reader import ReaderError

from sessions_platform.contracts.sources import source_type_of
from sessions_platform.contracts.stream import (
    Aggregate,
    Column,
    Landing,
    Reference,
    Rejected,
    Session,
    Stream,
    Thresholds,
)
from sessions_platform.contracts.stream_checks import Issue, cross_key_issues
from sessions_platform.contracts.values import shown
from sessions_platform.errors import UserError

Place = tuple[str, ...]

_MODELS: dict[Place, type[BaseModel]] = {
    (): Stream,
    ("landing",): Landing,
    ("session",): Session,
    ("rejected",): Rejected,
    ("rejected", "by_reason", "*"): Thresholds,
    ("columns", "*"): Column,
    ("columns", "*", "references"): Reference,
    ("session", "columns", "*"): Aggregate,
}
_SUBJECT = re.compile(r"^(Input|List|String|Dictionary|Keys|Value error,) ")
_KEY_TAGS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"}
_HALF_A_CHARACTER_OR_NUL = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class ConfigProblem:
    file: Path
    line: int | None
    key: str
    reason: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        told = f"{self.key}: {self.reason}. Fix: {self.fix}."
        return f"{place}: {' '.join(told.splitlines())}"


class StreamError(UserError):
    """One or more streams can't be used; `faults` says why."""

    def __init__(self, problems: list[ConfigProblem]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


def load_stream(path: Path, home: Path) -> Stream:
    """Read one stream; `home` is what ${SESSIONS_HOME} stands for. Raises StreamError with every mistake."""
    lines, raw = _read_yaml(path)
    own = {**raw, "path": path, "home": home}
    findings = list(cross_key_issues(raw))
    places = {place for place, _, _ in findings}
    findings += [finding for finding in _schema_findings(own, lines) if finding[0] not in places]
    if findings:
        problems = [_fault(path, lines, finding) for finding in findings]
        raise StreamError(sorted(problems, key=lambda fault: fault.line or 0))
    return Stream.model_validate(own)


def _fault(path: Path, lines: dict[Place, int], finding: Issue) -> ConfigProblem:
    place, reason, fix = finding
    return ConfigProblem(path, _line_of(lines, place), _dotted(place), reason, fix)


def load_streams(folders: Iterable[Path], home: Path) -> list[Stream]:
    """Read every stream of the folders, by name. Raises StreamError with the mistakes of all of them."""
    streams: dict[str, Stream] = {}
    problems: list[ConfigProblem] = []
    for path in _stream_files(folders):
        try:
            stream = load_stream(path, home)
        except StreamError as error:
            problems += error.problems
            continue
        if stream.name in streams:
            twin = streams[stream.name].path
            problems.append(ConfigProblem(path, None, "name", f"{twin} has the same name", "rename one of the two"))
        streams[stream.name] = stream
    if problems:
        raise StreamError(problems)
    return [streams[name] for name in sorted(streams)]


def _stream_files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if not folder.is_dir():
            raise StreamError([ConfigProblem(folder, None, "SESSIONS_STREAMS", "there is no such folder", "make it")])
        yield from sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})


class _Loader(yaml.SafeLoader):
    """Leaves a scalar that is no date or number after all, as 2026-02-30, to the rule of its key, as text."""

    def construct_scalar(self, node: Any) -> Any:
        text = super().construct_scalar(node)
        if _HALF_A_CHARACTER_OR_NUL.search(text):
            raise yaml.MarkedYAMLError(problem="text that can't be stored", problem_mark=node.start_mark)
        return text


def _or_text(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def constructed(loader: _Loader, node: yaml.Node) -> Any:
        try:
            return construct(loader, node)
        except (ValueError, ArithmeticError, LookupError, AttributeError):
            return loader.construct_scalar(node)

    return constructed


for _tag in (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "timestamp")):
    _Loader.add_constructor(_tag, _or_text(yaml.SafeLoader.yaml_constructors[_tag]))


def _read_yaml(path: Path) -> tuple[dict[Place, int], dict[str, Any]]:
    """The file's content, and the line of each key."""
    text = _read_text(path)
    problems: list[ConfigProblem] = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines = dict(_key_lines(path, node, (), problems))
        raw = loader.construct_document(node) if node else None
    except RecursionError:
        fix = "write it flat, and let no anchor hold itself"
        raise StreamError([ConfigProblem(path, None, "file", "it is nested without end", fix)]) from None
    except yaml.YAMLError as error:
        raise StreamError([_yaml_fault(path, text, error)]) from None
    if not isinstance(raw, dict):
        fix = "begin with name:, start:, source: and columns:"
        raise StreamError([ConfigProblem(path, 1, "file", "it holds no keys and values", fix)])
    if problems:
        raise StreamError(problems)
    return lines, raw


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        fix = "name a file that can be read"
        raise StreamError([ConfigProblem(path, None, "file", error.strerror or str(error), fix)]) from None
    except UnicodeDecodeError:
        raise StreamError([ConfigProblem(path, None, "file", "it is not UTF-8", "save it as UTF-8")]) from None


def _yaml_fault(path: Path, text: str, error: yaml.YAMLError) -> ConfigProblem:
    line, reason = None, str(error)
    if isinstance(error, ReaderError):
        line, reason = text.count("\n", 0, error.position) + 1, error.reason
    elif isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        line, reason = error.problem_mark.line + 1, error.problem or reason
    return ConfigProblem(path, line, "file", f"not YAML: {reason}", "mend the line")


def _key_lines(
    path: Path, node: yaml.Node | None, above: Place, problems: list[ConfigProblem]
) -> Iterator[tuple[Place, int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        here = (*above, name)
        if name in seen:
            problems.append(ConfigProblem(path, line, _dotted(here), "the key stands twice", "keep one of the two"))
        if key.tag not in _KEY_TAGS:
            problems.append(ConfigProblem(path, line, _dotted(here), "YAML takes the key for no text", "quote it"))
        seen.add(name)
        yield here, line
        yield from _key_lines(path, value, here, problems)


def _dotted(place: Place) -> str:
    return ".".join(part or '""' for part in place) or "file"


def _line_of(lines: dict[Place, int], place: Place) -> int | None:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


def _schema_findings(raw: dict[str, Any], lines: dict[Place, int]) -> Iterator[Issue]:
    try:
        Stream.model_validate(raw)
    except ValidationError as error:
        seen: set[tuple[Place, Any]] = set()
        for problem in error.errors():
            loc = problem["loc"]
            place = _place(loc, lines, is_key=problem["type"] in {"missing", "extra_forbidden"})
            item = next((part for part in loc[len(place) :] if isinstance(part, int)), None)
            if (place, item) not in seen:  # a union reports each of its members
                seen.add((place, item))
                yield (place, *_explained(problem, place, raw))


def _place(loc: tuple[int | str, ...], lines: dict[Place, int], *, is_key: bool) -> Place:
    """Where in the file a problem is; where it is no key, pydantic's path also names union members and list places."""
    place = tuple(str(part) for part in loc)
    if is_key:
        return place
    while place and place not in lines:
        place = place[:-1]
    return place


def _explained(problem: Any, place: Place, raw: dict[str, Any]) -> tuple[str, str]:
    kind, context, value = problem["type"], problem.get("ctx", {}), shown(problem["input"])
    if kind == "mistake":
        return context["reason"], context["mend"]
    if kind == "extra_forbidden":
        return _unknown_key(place, raw)
    if kind == "missing":
        return "the key is missing", "add it"
    if kind in {"literal_error", "enum"}:
        return f"{value} is not allowed", f"write {context['expected']}"
    return f"{value} does not fit", f"it {_SUBJECT.sub('', problem['msg'])}"


def _unknown_key(place: tuple[str, ...], raw: dict[str, Any]) -> tuple[str, str]:
    model = source_type_of(raw["source"]) if place[:-1] == ("source",) else _model_at(place[:-1])
    known = [field.alias or name for name, field in model.model_fields.items() if not field.exclude] if model else []
    close = difflib.get_close_matches(place[-1], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return "the key is not known", f"remove it, or rename it ({hint})"


def _model_at(place: Place) -> type[BaseModel] | None:
    found = (model for pattern, model in _MODELS.items() if len(pattern) == len(place) and _fits(place, pattern))
    return next(found, None)


def _fits(place: Place, pattern: Place) -> bool:
    return all(wanted in {part, "*"} for part, wanted in zip(place, pattern, strict=True))
