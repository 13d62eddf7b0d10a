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

from sessions_platform.contracts.stream import (
    Aggregate,
    Column,
    Landing,
    Reference,
    Rejected,
    Session,
    Source,
    Stream,
    Thresholds,
)
from sessions_platform.contracts.stream_checks import Finding, cross_findings
from sessions_platform.contracts.values import shown
from sessions_platform.mistakes import Mistake

Place = tuple[str, ...]

_MODELS: dict[Place, type[BaseModel]] = {
    (): Stream,
    ("source",): Source,
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
class Fault:
    file: Path
    line: int | None
    key: str
    reason: str
    mend: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        told = f"{self.key}: {self.reason}. Mend: {self.mend}."
        return f"{place}: {' '.join(told.splitlines())}"


class StreamError(Mistake):
    """One or more streams can't be used; `faults` says why."""

    def __init__(self, mistakes: list[Fault]) -> None:
        self.faults = mistakes
        super().__init__("\n".join(map(str, mistakes)))


def load_stream(path: Path, home: Path) -> Stream:
    """Read one stream; `home` is what ${SESSIONS_HOME} stands for. Raises StreamError with every mistake."""
    lines, raw = _read_yaml(path)
    own = {**raw, "path": path, "home": home}
    findings = list(cross_findings(raw))
    places = {place for place, _, _ in findings}
    findings += [finding for finding in _schema_findings(own, lines) if finding[0] not in places]
    if findings:
        faults = [_fault(path, lines, finding) for finding in findings]
        raise StreamError(sorted(faults, key=lambda fault: fault.line or 0))
    return Stream.model_validate(own)


def _fault(path: Path, lines: dict[Place, int], finding: Finding) -> Fault:
    place, reason, mend = finding
    return Fault(path, _line_of(lines, place), _dotted(place), reason, mend)


def load_streams(folders: Iterable[Path], home: Path) -> list[Stream]:
    """Read every stream of the folders, by name. Raises StreamError with the mistakes of all of them."""
    streams: dict[str, Stream] = {}
    mistakes: list[Fault] = []
    for path in _stream_files(folders):
        try:
            stream = load_stream(path, home)
        except StreamError as error:
            mistakes += error.faults
            continue
        if stream.name in streams:
            twin = streams[stream.name].path
            mistakes.append(Fault(path, None, "name", f"{twin} has the same name", "rename one of the two"))
        streams[stream.name] = stream
    if mistakes:
        raise StreamError(mistakes)
    return [streams[name] for name in sorted(streams)]


def _stream_files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if not folder.is_dir():
            raise StreamError([Fault(folder, None, "SESSIONS_STREAMS", "there is no such folder", "make it")])
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
    faults: list[Fault] = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines = dict(_key_lines(path, node, (), faults))
        raw = loader.construct_document(node) if node else None
    except RecursionError:
        mend = "write it flat, and let no anchor hold itself"
        raise StreamError([Fault(path, None, "file", "it is nested without end", mend)]) from None
    except yaml.YAMLError as error:
        raise StreamError([_yaml_fault(path, text, error)]) from None
    if not isinstance(raw, dict):
        mend = "begin with name:, start:, source: and columns:"
        raise StreamError([Fault(path, 1, "file", "it holds no keys and values", mend)])
    if faults:
        raise StreamError(faults)
    return lines, raw


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        mend = "name a file that can be read"
        raise StreamError([Fault(path, None, "file", error.strerror or str(error), mend)]) from None
    except UnicodeDecodeError:
        raise StreamError([Fault(path, None, "file", "it is not UTF-8", "save it as UTF-8")]) from None


def _yaml_fault(path: Path, text: str, error: yaml.YAMLError) -> Fault:
    line, reason = None, str(error)
    if isinstance(error, ReaderError):
        line, reason = text.count("\n", 0, error.position) + 1, error.reason
    elif isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        line, reason = error.problem_mark.line + 1, error.problem or reason
    return Fault(path, line, "file", f"not YAML: {reason}", "mend the line")


def _key_lines(path: Path, node: yaml.Node | None, above: Place, faults: list[Fault]) -> Iterator[tuple[Place, int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        here = (*above, name)
        if name in seen:
            faults.append(Fault(path, line, _dotted(here), "the key stands twice", "keep one of the two"))
        if key.tag not in _KEY_TAGS:
            faults.append(Fault(path, line, _dotted(here), "YAML takes the key for no text", "quote it"))
        seen.add(name)
        yield here, line
        yield from _key_lines(path, value, here, faults)


def _dotted(place: Place) -> str:
    return ".".join(part or '""' for part in place) or "file"


def _line_of(lines: dict[Place, int], place: Place) -> int | None:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


def _schema_findings(raw: dict[str, Any], lines: dict[Place, int]) -> Iterator[Finding]:
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
                yield (place, *_explained(problem, place))


def _place(loc: tuple[int | str, ...], lines: dict[Place, int], *, is_key: bool) -> Place:
    """Where in the file a problem is; where it is no key, pydantic's path also names union members and list places."""
    place = tuple(str(part) for part in loc)
    if is_key:
        return place
    while place and place not in lines:
        place = place[:-1]
    return place


def _explained(problem: Any, place: Place) -> tuple[str, str]:
    kind, context, value = problem["type"], problem.get("ctx", {}), shown(problem["input"])
    if kind == "mistake":
        return context["reason"], context["mend"]
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "missing":
        return "the key is missing", "add it"
    if kind in {"literal_error", "enum"}:
        return f"{value} is not allowed", f"write {context['expected']}"
    return f"{value} does not fit", f"it {_SUBJECT.sub('', problem['msg'])}"


def _unknown_key(place: tuple[str, ...]) -> tuple[str, str]:
    model = _model_at(place[:-1])
    known = [field.alias or name for name, field in model.model_fields.items() if not field.exclude] if model else []
    close = difflib.get_close_matches(place[-1], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return "the key is not known", f"remove it, or rename it ({hint})"


def _model_at(place: Place) -> type[BaseModel] | None:
    found = (model for pattern, model in _MODELS.items() if len(pattern) == len(place) and _fits(place, pattern))
    return next(found, None)


def _fits(place: Place, pattern: Place) -> bool:
    return all(wanted in {part, "*"} for part, wanted in zip(place, pattern, strict=True))
