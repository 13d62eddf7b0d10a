"""Paths of landing files with a placeholder for the landing partition: {partition:%Y-%m-%d}.

A path is generated from a partition key (`of`), and a key is parsed from a path (`partition_in`), in time that is
proportional to the number of its names, whatever they are: who delivers files chooses them. Not here: finding the
files (``sources.files.tree``).
"""

import re
from datetime import datetime
from fnmatch import translate
from functools import cached_property, lru_cache

from sessions_platform.contracts.calendar import Calendar
from sessions_platform.errors import UserError

PLACEHOLDER = re.compile(r"\{partition(?::([^}]*))?\}")
ANY_FOLDERS = "**"

_DIRECTIVES = {
    "%Y": r"\d{4}", "%G": r"\d{4}", "%y": r"\d{2}", "%m": r"\d{2}", "%d": r"\d{2}", "%j": r"\d{3}",
    "%V": r"\d{2}", "%H": r"\d{2}", "%M": r"\d{2}", "%S": r"\d{2}", "%b": r"[^\W\d_]+", "%B": r"[^\W\d_]+",
}  # fmt: skip
_FORMAT_TOKEN = re.compile(r"%.|[^%]+", re.DOTALL)
_KEYS_CACHED = 4096


class TemplateError(UserError):
    """A path from which the landing partition can't be parsed."""


class PathTemplate:
    """A path with a placeholder, for one calendar of landing partitions.

    A placeholder states the start of the partition's window by directives of `strftime`; without a format it states
    the partition key.

    Args:
        text: a glob with any number of placeholders.
        calendar: the landing calendar.

    Raises:
        TemplateError: where two partitions could have one path, or a directive is not supported.
    """

    def __init__(self, text: str, calendar: Calendar) -> None:
        self._text = text
        self._calendar = calendar
        self._key_of = lru_cache(_KEYS_CACHED)(self._parsed_key)
        self._partition_of_folder = lru_cache(_KEYS_CACHED)(self._stated_by_folder)
        self._reject_ambiguity()

    def of(self, key: str) -> str:
        """The glob of the files of one partition key."""
        start = self._start(key)
        return PLACEHOLDER.sub(lambda match: start.strftime(self._format(match)), self._text)

    def of_all(self) -> str:
        """A glob of the files of all partitions; it can match other files too."""
        return PLACEHOLDER.sub(lambda match: re.sub(r"[^/]+", "*", self._format(match)), self._text)

    def partition_in(self, path: str) -> str | None:
        """The partition key that a path states.

        None where the path is not of the template, states a moment that is not the start of a partition, or one
        that is outside the calendar.
        """
        folder, _, name = path.rpartition("/")
        if not self._names_state_nothing:
            values = _values(self._segments, path.split("/"))
            return None if values is None else self._key_of(tuple(values))
        if self._segments[-1].values(name) is None:  # pyright: ignore[reportOptionalMemberAccess]
            return None
        return self._partition_of_folder(folder)

    def _stated_by_folder(self, folder: str) -> str | None:
        values = _values(self._segments[:-1], folder.split("/") if folder else [])
        return None if values is None else self._key_of(tuple(values))

    def _parsed_key(self, values: tuple[str, ...]) -> str | None:
        """The partition key for a value of each directive."""
        moment = self._moment(dict(zip(self._directives, values, strict=True)))
        if moment is None or not self._covers(moment):
            return None
        key = self._calendar.key_of(moment)
        spelled = [self._start(key).strftime(directive) for directive in self._directives]
        return key if spelled == list(values) else None

    def _covers(self, moment: datetime) -> bool:
        end = self._calendar.end
        return self._calendar.first_start <= moment and (end is None or moment < end)

    def _start(self, key: str) -> datetime:
        return datetime.strptime(key, self._calendar.key_format).replace(tzinfo=self._calendar.zone)

    def _moment(self, values: dict[str, str]) -> datetime | None:
        """The moment that a value for each directive states; of a week, its Monday."""
        if "%V" in values:
            values = {**values, "%u": "1"}
        try:
            return datetime.strptime(" ".join(values.values()), " ".join(values)).replace(tzinfo=self._calendar.zone)
        except ValueError:
            return None

    def _format(self, placeholder: re.Match[str]) -> str:
        return placeholder[1] or self._calendar.key_format

    @cached_property
    def _tokens(self) -> list[tuple[str, str]]:
        """The template's parts in order: ("glob", text), ("literal", text) or ("directive", such as %Y)."""
        tokens: list[tuple[str, str]] = []
        end = 0
        for match in PLACEHOLDER.finditer(self._text):
            tokens.append(("glob", self._text[end : match.start()]))
            tokens += map(_format_token, _FORMAT_TOKEN.findall(self._format(match)))
            end = match.end()
        return [*tokens, ("glob", self._text[end:])]

    @cached_property
    def _directives(self) -> list[str]:
        return [text for kind, text in self._tokens if kind == "directive"]

    @cached_property
    def _segments(self) -> list["_Name | None"]:
        """A matcher for each name of the path; None where any number of folders may be."""
        segments: list[list[tuple[str, str]]] = [[]]
        for kind, text in self._tokens:
            first, *others = text.split("/")
            segments[-1].append((kind, first))
            segments += [[(kind, other)] for other in others]
        names: list[_Name | None] = []
        for tokens in segments:
            is_any = _glob_of(tokens) == ANY_FOLDERS
            if not is_any or not names or names[-1]:  # several `**` in a row are one
                names.append(None if is_any else _Name(tokens))
        return names

    @cached_property
    def _names_state_nothing(self) -> bool:
        """Whether the folder alone states the partition, as that of very many files."""
        last = self._segments[-1]
        return last is not None and not last.has_directives

    def _reject_ambiguity(self) -> None:
        """Raise TemplateError where the first two partitions can't be parsed from their own paths."""
        first = self._calendar.key_of(self._calendar.first_start)
        for key in (first, self._calendar.key_of(self._calendar.window(first).end)):
            start = self._start(key)
            if self._moment({directive: start.strftime(directive) for directive in self._directives}) != start:
                cadence = self._calendar.cadence.value
                raise TemplateError(f"{self._text!r} does not distinguish {cadence} partitions")


class _Name:
    """The pattern of one name of a path: a glob, directives and literal text between them, and a glob.

    Where several values are possible, it takes the last ones in the name. What `fnmatch` makes of a glob never goes
    back behind a wildcard that has matched, so the globs before and after the directives are matched apart from them.
    """

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        directives = [number for number, (kind, _) in enumerate(tokens) if kind == "directive"]
        self.has_directives = bool(directives)
        first = directives[0] if directives else len(tokens)
        last = directives[-1] + 1 if directives else len(tokens)
        before = _glob_of(tokens[:first])
        rest = "".join(_token_regex(*token) for token in tokens[first:last]) + translate(_glob_of(tokens[last:]))
        self._anchored = re.compile(_token_regex("glob", before) + rest) if "*" not in before else None
        self._before, self._rest = re.compile(translate(before)), re.compile(rest)

    def values(self, name: str) -> tuple[str, ...] | None:
        """The directives' values; None where the name doesn't match."""
        if self._anchored:
            match = self._anchored.match(name)
            return match.groups() if match else None
        for start in range(len(name), -1, -1):
            match = self._rest.match(name, start)
            if match and self._before.fullmatch(name, 0, start):
                return match.groups()
        return None


def _values(segments: list[_Name | None], names: list[str]) -> list[str] | None:
    """The directives' values in a path, or None; folders that may be any are as many, and as early, as possible."""
    if None not in segments:
        return _joined(segments, names) if len(segments) == len(names) else None
    chosen: list[str] = []
    matches = _matches(segments, names)
    if not matches[0][0]:
        return None
    segment = place = 0
    while segment < len(segments):
        if segments[segment] is None:
            if place < len(names) and matches[segment][place + 1]:
                place += 1
            else:
                segment += 1
        else:
            chosen += segments[segment].values(names[place]) or ()  # pyright: ignore[reportOptionalMemberAccess]
            segment, place = segment + 1, place + 1
    return chosen


def _joined(segments: list[_Name | None], names: list[str]) -> list[str] | None:
    chosen: list[str] = []
    for segment, name in zip(segments, names, strict=True):
        values = segment.values(name) if segment else ()
        if values is None:
            return None
        chosen += values
    return chosen


def _matches(segments: list[_Name | None], names: list[str]) -> list[list[bool]]:
    """At [segment][name]: whether the segments from that one on match all names from that one on."""
    following = [*[False] * len(names), True]
    table = [following]
    for segment in reversed(segments):
        row = [False] * (len(names) + 1)
        for place in range(len(names), -1, -1):
            if segment is None:
                row[place] = following[place] or (place < len(names) and row[place + 1])
            else:
                row[place] = place < len(names) and following[place + 1] and segment.values(names[place]) is not None
        table.insert(0, row)
        following = row
    return table


def _glob_of(tokens: list[tuple[str, str]]) -> str:
    return "".join(text for _, text in tokens)


def _token_regex(kind: str, text: str) -> str:
    if kind == "directive":
        return f"({_DIRECTIVES[text]})"
    return re.escape(text) if kind == "literal" else translate(text).removesuffix(r"\Z").removesuffix(r"\z")


def _format_token(token: str) -> tuple[str, str]:
    if token in _DIRECTIVES:
        return "directive", token
    if token.startswith("%") and token != "%%":
        raise TemplateError(f"{token} can't be used in a placeholder: use {' '.join(_DIRECTIVES)}")
    return "literal", token.replace("%%", "%")
