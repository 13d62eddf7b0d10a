"""Read a stream's YAML file, and say what is wrong with it: file, line, key, reason, mend."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from sessions_platform.contracts.calendar import Cadence
from sessions_platform.contracts.stream import RESERVED, Aggregate, Column, ColumnType, Landing, Session, Source, Stream
from sessions_platform.mistakes import Mistake

REQUIRED_COLUMNS = ("user_id", "event_timestamp", "event_type")
_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "float": lambda value: type(value) in {int, float},
}
_SCHEMAS = {"public", "information_schema", "sessions_platform"}
_NUMERIC = {ColumnType.integer.value, ColumnType.float.value}
_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): Stream,
    ("source",): Source,
    ("landing",): Landing,
    ("session",): Session,
    ("columns", "*"): Column,
    ("session", "columns", "*"): Aggregate,
}


@dataclass(frozen=True)
class Fault:
    file: Path
    line: int | None
    key: str
    reason: str
    mend: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.key}: {self.reason}. Mend: {self.mend}."


class StreamError(Mistake):
    """One or more streams can't be used; `faults` says why."""

    def __init__(self, mistakes: list[Fault]) -> None:
        self.faults = mistakes
        super().__init__("\n".join(map(str, mistakes)))


def load_stream(path: Path, home: Path) -> Stream:
    """Read one stream; `home` is what ${SESSIONS_HOME} stands for. Raises StreamError with every mistake."""
    lines, raw = _read_yaml(path)
    mistakes = list(_schema_mistakes(path, lines, {**raw, "path": path, "home": home}))
    mistakes += _cross_mistakes(path, lines, raw)
    if mistakes:
        raise StreamError(mistakes)
    return Stream.model_validate({**raw, "path": path, "home": home})


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


def _read_yaml(path: Path) -> tuple[dict[tuple[str, ...], int], dict[str, Any]]:
    """The file's content, and the line of each key."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        mend = "name a file that can be read"
        raise StreamError([Fault(path, None, "file", error.strerror or str(error), mend)]) from None
    except UnicodeDecodeError:
        raise StreamError([Fault(path, None, "file", "it is not UTF-8", "save it as UTF-8")]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise StreamError([_yaml_mistake(path, error)]) from None
    if not isinstance(raw, dict) or not isinstance(node, yaml.MappingNode):
        mend = "begin with name:, start:, source: and columns:"
        raise StreamError([Fault(path, 1, "file", "it holds no keys and values", mend)])
    repeated: list[Fault] = []
    lines = dict(_key_lines(path, node, (), repeated))
    if repeated:
        raise StreamError(repeated)
    return lines, raw


def _yaml_mistake(path: Path, error: Exception) -> Fault:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error)
    return Fault(path, mark.line + 1 if mark else None, "file", f"not YAML: {reason}", "mend the line")


def _key_lines(
    path: Path, node: yaml.Node, above: tuple[str, ...], repeated: list[Fault]
) -> Iterator[tuple[tuple[str, ...], int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        here, line = (*above, str(key.value)), key.start_mark.line + 1
        if key.value in seen:
            repeated.append(Fault(path, line, ".".join(here), "the key stands twice", "keep one of the two"))
        seen.add(key.value)
        yield here, line
        yield from _key_lines(path, value, here, repeated)


def _line_of(lines: dict[tuple[str, ...], int], place: tuple[str, ...]) -> int | None:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


def _schema_mistakes(path: Path, lines: dict[tuple[str, ...], int], raw: dict[str, Any]) -> Iterator[Fault]:
    try:
        Stream.model_validate(raw)
    except ValidationError as error:
        seen: set[tuple[str, ...]] = set()
        for problem in error.errors():
            place = _place(problem["loc"], lines, missing=problem["type"] == "missing")
            if place not in seen:  # a union reports each of its members
                seen.add(place)
                reason, mend = _explained(problem, place)
                yield Fault(path, _line_of(lines, place), ".".join(place), reason, mend)


def _place(loc: tuple[int | str, ...], lines: dict[tuple[str, ...], int], *, missing: bool) -> tuple[str, ...]:
    """Where in the file a problem is; pydantic's own path also names union members and list places."""
    place = tuple(str(part) for part in loc)
    if missing:
        return place
    while place and place not in lines:
        place = place[:-1]
    return place


def _explained(problem: Any, place: tuple[str, ...]) -> tuple[str, str]:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "mistake":
        return context["reason"], context["mend"]
    if kind == "extra_forbidden":
        return _unknown_key(place)
    if kind == "missing":
        return "the key is missing", "add it"
    if kind in {"literal_error", "enum"}:
        return f"{problem['input']!r} is not allowed", f"write {context['expected']}"
    if kind.startswith("date"):
        return f"{problem['input']!r} is no date", "write one as in 2026-01-31"
    message = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f"{problem['input']!r} does not fit", f"it {message}"


def _unknown_key(place: tuple[str, ...]) -> tuple[str, str]:
    model = _model_at(place[:-1])
    known = [field.alias or name for name, field in model.model_fields.items() if not field.exclude] if model else []
    close = difflib.get_close_matches(place[-1], known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return "the key is not known", f"remove it, or rename it ({hint})"


def _model_at(place: tuple[str, ...]) -> type[BaseModel] | None:
    return _MODELS.get(place) or (_MODELS.get((*place[:-1], "*")) if place else None)


def _cross_mistakes(path: Path, lines: dict[tuple[str, ...], int], raw: dict[str, Any]) -> Iterator[Fault]:
    """What one key says of another. Works on the raw file, so that all mistakes are told at once."""

    def mistake(place: tuple[str, ...], reason: str, mend: str) -> Fault:
        return Fault(path, _line_of(lines, place), ".".join(place), reason, mend)

    columns = _mapping(raw, "columns")
    yield from (mistake((key,), *_unknown_key((key,))) for key in ("path", "home") if key in raw)
    yield from _name_mistakes(str(raw.get("name")), mistake)
    if isinstance(raw.get("columns"), dict):
        for name in (name for name in REQUIRED_COLUMNS if name not in columns):
            yield mistake(("columns", name), "the column is missing", f"add {name}: {{from: …}}")
    for name, column in columns.items():
        yield from _column_mistakes(str(name), column if isinstance(column, dict) else {}, mistake)
    for name, aggregate in _mapping(_mapping(raw, "session"), "columns").items():
        yield from _aggregate_mistakes(str(name), aggregate, columns, mistake)
    yield from _reference_mistakes(raw, columns, mistake)
    yield from _calendar_mistakes(raw, mistake)


def _name_mistakes(name: str, mistake: Any) -> Iterator[Fault]:
    if name in _SCHEMAS or name.startswith("pg_"):
        yield mistake(("name",), f"{name!r} is a schema of its own in PostgreSQL", "choose another name")


def _reference_mistakes(raw: dict[str, Any], columns: dict[str, Any], mistake: Any) -> Iterator[Fault]:
    named = {("sequence",): raw.get("sequence"), ("session", "campaign"): _mapping(raw, "session").get("campaign")}
    for place, column in named.items():
        if column is not None and column not in columns:
            yield mistake(place, f"there is no column {column!r}", f"name one of {', '.join(columns)}")


def _mapping(raw: Any, key: str) -> dict[str, Any]:
    value = raw.get(key) if isinstance(raw, dict) else None
    return value if isinstance(value, dict) else {}


def _column_mistakes(name: str, column: dict[str, Any], mistake: Any) -> Iterator[Fault]:
    here = ("columns", name)
    kind = "timestamp" if name == "event_timestamp" else column.get("type", "string")
    if name in RESERVED:
        yield mistake(here, "the platform has a column of that name", "choose another name")
    if name in {"user_id", "event_id", "event_type"} and kind != "string":
        yield mistake((*here, "type"), f"{name} is text", "remove the type")
    if name in {*REQUIRED_COLUMNS, "event_id"} and column.get("nullable"):
        yield mistake((*here, "nullable"), f"an event must have {name}", "remove nullable")
    if "from" in column and "join" in column:
        yield mistake((*here, "join"), "from and join exclude each other", "keep one of the two")
    if kind == "timestamp" and "formats" not in column:
        yield mistake(here, "its formats are not named", 'add formats, as in formats: ["%+", epoch_ms]')
    yield from _misplaced_rules(here, kind, column, mistake)


def _misplaced_rules(here: tuple[str, ...], kind: str, column: dict[str, Any], mistake: Any) -> Iterator[Fault]:
    if kind != "timestamp" and "formats" in column:
        yield mistake((*here, "formats"), f"only a timestamp has formats, this is {kind}", "remove it")
    if kind not in _NUMERIC and (bounds := {"ge", "gt", "le", "lt"} & column.keys()):
        bound = min(bounds)
        yield mistake((*here, bound), f"only a number has bounds, this is {kind}", "add type: float, or remove it")
    fits = _ALLOWED.get(kind)
    if "isin" in column and fits is None:
        yield mistake((*here, "isin"), f"values of type {kind} can't be listed", "remove it")
    elif fits and isinstance(column.get("isin"), list) and not all(map(fits, column["isin"])):
        yield mistake(
            (*here, "isin"), f"not all of its values are of type {kind}", "quote text, and write numbers bare"
        )
    if kind != "string" and "pattern" in column:
        yield mistake((*here, "pattern"), f"only text has a pattern, this is {kind}", "remove it")


def _aggregate_mistakes(name: str, aggregate: Any, columns: dict[str, Any], mistake: Any) -> Iterator[Fault]:
    here = ("session", "columns", name)
    if name in RESERVED or name in {"user_id"}:
        yield mistake(here, "the sessions table has a column of that name", "choose another name")
    if not isinstance(aggregate, dict) or len(aggregate) != 1:
        yield mistake(here, "it takes one function and its column", "write it as in {sum: amount}")
        return
    ((function, column),) = aggregate.items()
    if function in Aggregate.model_fields and column not in {*columns, "event_id"}:
        yield mistake((*here, function), f"there is no column {column!r}", f"name one of {', '.join(columns)}")
    elif function == "sum" and _mapping(columns, column).get("type") not in _NUMERIC:
        yield mistake((*here, function), f"{column} is no number", "sum a column of type integer or float")


def _calendar_mistakes(raw: dict[str, Any], mistake: Any) -> Iterator[Fault]:
    start, end = raw.get("start"), raw.get("end")
    if start is not None and end is not None and type(start) is type(end) and not start < end:
        yield mistake(("end",), f"it is not after the start, {start}", "write a later day, or remove it")
    session = _mapping(raw, "session")
    if session.get("partition") == Cadence.hourly and session.get("timezone", "UTC") != "UTC":
        yield mistake(
            ("session", "timezone"), "hours repeat at the end of summer time", "write UTC, or partition: daily"
        )
