"""Why nearly all rows of a landing partition were rejected, as far as a few of them show it.

Here belongs what a few rejected rows say about the stream's file, as a clause for people: the first value beside what
was expected, and what to write where a short list of usual things fits. Not here: which partitions it is asked of
(`hints.py`), and why a single row is rejected (`contracts/rejection_reasons.py`).
"""

import difflib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from sessions_platform.contracts.columns import Column
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.timestamp_reading import read_timestamp
from sessions_platform.contracts.timestamps import EPOCHS

# What programs write, the strict ones first. Epochs differ in their unit, and are told by the years they mean.
_USUAL_FORMATS = (
    "%+",
    "iso8601",
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%d/%b/%Y:%H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%Y%m%d%H%M%S",
    "%Y%m%d %H:%M:%S",
    *(name for name in EPOCHS if name != "epoch_s_local"),
)
_YEARS = (1990, 2100)
_MOST_FORMATS = 2  # several fit where days and months can't be told apart
_USUAL_NAMES = {
    "user_id": ("userid", "user", "uid", "anonymousid", "distinctid", "visitorid", "customerid", "clientid", "cookie"),
    "event_timestamp": ("timestamp", "eventtimestamp", "time", "ts", "eventtime", "datetime", "date", "createdat"),
    "event_type": ("eventtype", "event", "eventname", "type", "action", "name"),
    "event_id": ("eventid", "id", "uuid", "messageid"),
}
_FIELDS_SHOWN = 12
_DEEPEST = 3
_SHOWN = 80
_SEPARATORS = {";": "';'", "\t": r"'\t'", "|": "'|'", ",": "','"}
_JSON_FORMATS = ("ndjson", "json")
_ACCESS_LOG = re.compile(r'^\S+ \S+ \S+ \[[^\]]+\] "')
_LOGFMT = re.compile(r'^\w[\w.]*=("[^"]*"|\S*)(\s+\w[\w.]*=("[^"]*"|\S*))+\s*$')
_PART_OF_JSON = re.compile(r'^\s*([\[\]{}],?|\{.*\},|"[^"]*"\s*:.*)\s*$')


@dataclass(frozen=True)
class RejectedSample:
    """A rejected row: its payload as text, its reasons with `code`, `column`, `rule` and `value`, and its file."""

    payload: str
    reasons: Sequence[Mapping[str, Any]]
    source_uri: str


@dataclass(frozen=True)
class _Case:
    """The reasons of one code and one column: the first rule, and all values and payloads, in order."""

    stream: Stream
    column: str
    rule: str
    values: Sequence[str]
    payloads: Sequence[str]
    fields: Sequence[str]
    source_uri: str  # of the first sample

    @property
    def value(self) -> str:
        """The first value, in quotes; null where there is none."""
        return _quoted(self.values[0]) if self.values else "null"

    @property
    def definition(self) -> Column | None:
        return self.stream.columns.get(self.column)


def likely_cause(code: str, samples: Sequence[RejectedSample], stream: Stream, fields: Sequence[str] = ()) -> str:
    """Why rows like these are rejected, and the fix, in one line that begins with a small letter and ends with a stop.

    Args:
        code: of the reason that nearly all rows of the partition have.
        samples: a few of these rows, at least one.
        stream: whose rows they are.
        fields: the paths of the fields that the partition's rows have, as far as they are known.
    """
    case = _case(code, samples, stream, fields)
    clause, fix = _CAUSES.get(code, _rule_broken)(case)
    text = " ".join(f"{case.column}: {clause}".split() if case.column else clause.split())
    return f"{text}. Fix: {fix}." if fix else f"{text}."


def _case(code: str, samples: Sequence[RejectedSample], stream: Stream, fields: Sequence[str]) -> _Case:
    found = [(each.payload, reason) for each in samples for reason in each.reasons if reason["code"] == code]
    ((column, _),) = Counter(str(reason["column"]) for _, reason in found).most_common(1)
    alike = [(payload, reason) for payload, reason in found if reason["column"] == column]
    values = [_plain(reason["value"]) for _, reason in alike if reason["value"] is not None]
    payloads = [payload for payload, _ in alike]
    return _Case(stream, column, alike[0][1]["rule"], values, payloads, fields, samples[0].source_uri)


def _plain(value: str) -> str:
    """A value without the quotes that a reason of a JSON row has."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return value


def _quoted(text: str) -> str:
    return f'"{text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"}"'


# One function for each kind of reason; each returns a clause and a fix, without full stops ------------------


def _rule_broken(case: _Case) -> tuple[str, str]:
    subject = case.value if case.values else f"{_quoted(case.payloads[0])}"
    return f"the first value is {subject}; expected was {case.rule}", f"correct {_place(case)}, or the producer"


def _place(case: _Case) -> str:
    return f"columns.{case.column}" if case.definition else "the stream's file"


def _timestamp(case: _Case) -> tuple[str, str]:
    stated = case.definition.formats or [] if case.definition else []
    clause = f"the first value is {case.value}, and formats has {json.dumps(stated)}"
    fitting = [fmt for fmt in _fitting_formats(case) if fmt not in stated][:_MOST_FORMATS]
    if not fitting:
        return clause, f"write a format that reads it into {_place(case)}.formats"
    both = ", or ".join(f'"{fmt}"' for fmt in fitting)
    doubt = ", whichever the producer means" if len(fitting) > 1 else ""
    return clause, f"add {both} to {_place(case)}.formats, which reads it{doubt}"


def _fitting_formats(case: _Case) -> Iterator[str]:
    """The usual formats that read all of the values, as times of our days."""
    texts = pl.DataFrame({"text": list(case.values)}, schema={"text": pl.String})
    zone = case.definition.timezone if case.definition else "UTC"
    for fmt in _USUAL_FORMATS if case.values else ():
        read = texts.select(read_timestamp(pl.col("text"), fmt, zone)).to_series()
        if read.null_count() == 0 and read.dt.year().is_between(*_YEARS).all():
            yield fmt


def _missing(case: _Case) -> tuple[str, str]:
    definition = case.definition
    paths = definition.paths(case.column) if definition else []
    source = " and ".join(paths) or "nothing"
    fields = _fields_of(case.payloads) or case.fields
    if set(paths) & set(fields):
        clause = f"it is read from {source}, which is null or blank in these rows"
        return clause, f"add another field to {_place(case)}.from"
    listed = ", ".join(fields[:_FIELDS_SHOWN]) + (", …" if len(fields) > _FIELDS_SHOWN else "")
    clause = f"it is read from {source}, which no row has" + (f"; the rows have {listed}" if listed else "")
    near = _near_field(case.column, paths, fields)
    return clause, f"write from: {near} in {_place(case)}" if near else f"correct {_place(case)}.from"


def _fields_of(payloads: Sequence[str]) -> list[str]:
    """The paths of the fields of payloads that are JSON objects, sorted; of other formats a payload has no names."""
    paths: set[str] = set()
    for payload in payloads:
        fields = _json(payload)
        paths.update(_paths(fields, "") if isinstance(fields, dict) else ())
    return sorted(paths)


def _paths(fields: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, value in fields.items():
        if isinstance(value, dict) and prefix.count(".") < _DEEPEST:
            yield from _paths(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _near_field(column: str, paths: Sequence[str], fields: Sequence[str]) -> str | None:
    """The field that a column is likely meant to be read from: of a usual name, or of nearly the stated one."""
    by_name = {_bare(field): field for field in reversed(fields)}
    usual = (by_name[name] for name in _USUAL_NAMES.get(column, (_bare(column),)) if name in by_name)
    close = (match for path in paths for match in difflib.get_close_matches(_bare(path), list(by_name), 1))
    return next(usual, None) or next((by_name[name] for name in close), None)


def _bare(field: str) -> str:
    """The last part of a path, in small letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", field.rpartition(".")[2].lower())


def _malformed(case: _Case) -> tuple[str, str]:
    texts = [payload for payload in case.payloads if payload.strip()]
    if not texts:
        return "the rows are blank lines", "deliver records, or leave blank lines out"
    looks = _looks_like(texts, case.stream)
    clause = f"the first row is {_quoted(texts[0].strip())}: {case.rule}"
    if looks is None:
        return clause, "correct format and its options in the stream's source"
    return f"{clause}; it looks like {looks[0]}", f"write {looks[1]} in source"


def _looks_like(texts: Sequence[str], stream: Stream) -> tuple[str, str] | None:
    """What rows that are not of the stream's format look like, and what to write for it."""
    stated = stream.source.format
    is_json = stated in _JSON_FORMATS
    looks: dict[tuple[str, str], bool] = {
        ("an array in each line", "events: []"): is_json and all(map(_is_list, texts)),
        ("JSON over several lines", "format: json"): stated == "ndjson" and all(map(_PART_OF_JSON.match, texts)),
        ("a JSON object in each line", "format: ndjson"): not is_json and all(map(_is_object, texts)),
        ("a server's log", "format: regex, and a pattern"): any(map(_ACCESS_LOG.match, texts)),
        ("logfmt", "format: logfmt"): stated != "logfmt" and all(map(_LOGFMT.match, texts)),
    }
    return next((look for look, is_so in looks.items() if is_so), None) or _looks_like_csv(texts, stream)


def _looks_like_csv(texts: Sequence[str], stream: Stream) -> tuple[str, str] | None:
    separator, is_csv = _separator_of(texts), stream.source.format == "csv"
    if separator is None or (is_csv and stream.source.separator == separator):
        return None
    spelled = _SEPARATORS[separator]
    return f"CSV with the separator {spelled}", f"{'' if is_csv else 'format: csv, '}separator: {spelled}"


def _separator_of(texts: Sequence[str]) -> str | None:
    """The separator that each of several lines has equally often."""
    for separator in _SEPARATORS:
        counts = {text.count(separator) for text in texts}
        if len(texts) > 1 and len(counts) == 1 and counts != {0}:
            return separator
    return None


def _is_object(text: str) -> bool:
    return isinstance(_json(text), dict)


def _is_list(text: str) -> bool:
    return isinstance(_json(text), list)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _unreadable(case: _Case) -> tuple[str, str]:
    reason, _, fix = case.rule.partition(". Fix: ")
    return f"the first file, {case.source_uri}: {reason}", fix or "deliver it again"


def _before_start(case: _Case) -> tuple[str, str]:
    clause = f"the first value is {case.value}, and the stream starts on {case.stream.start}"
    return _of_another_unit(case, clause) or (clause, "write an earlier start")


def _future(case: _Case) -> tuple[str, str]:
    clause = f"the first value is {case.value}, later than its landing partition ends"
    return _of_another_unit(case, clause) or (clause, "ingest such files into a later landing partition")


def _of_another_unit(case: _Case, clause: str) -> tuple[str, str] | None:
    """What an epoch outside of the stream's time says: its number has another unit than the one that is stated."""
    if not case.values or not all(re.fullmatch(r"[0-9.]+", value) for value in case.values):
        return None
    fitting = [fmt for fmt in _fitting_formats(case) if fmt in EPOCHS]
    stated = case.definition.formats or [] if case.definition else []
    if not fitting or set(fitting) & set(stated):
        return None
    return f"{clause}; it looks like an epoch of another unit", f"write {fitting[0]} in {_place(case)}.formats"


def _conflict(case: _Case) -> tuple[str, str]:
    clause = f"rows with other content have the same value, the first of which is {case.value}"
    return clause, f"read {_place(case)} from a field that differs in each event, or leave event_id out"


def _unexpected(case: _Case) -> tuple[str, str]:
    clause = f"the rows have fields that no column names, as in {_quoted(case.payloads[0])}"
    return f"{clause}, and extra_columns is {case.stream.extra_columns}", "write extra_columns: keep"


_CAUSES: dict[str, Callable[[_Case], tuple[str, str]]] = {
    Code.bad_timestamp: _timestamp,
    Code.missing_identity: _missing,
    Code.missing_value: _missing,
    Code.malformed: _malformed,
    Code.unreadable_file: _unreadable,
    Code.before_start: _before_start,
    Code.future_timestamp: _future,
    Code.conflicting_duplicate: _conflict,
    Code.unexpected_column: _unexpected,
}
