"""Paths of landing files with a placeholder for the landing partition: {partition:%Y-%m-%d}.

A path is generated from a partition key (`of`), and a key is parsed from a path (`partition_in`), in time that is
proportional to the number of its names, whatever they are: who delivers files chooses them. Not here: what a
placeholder may contain (``path_directives``), and finding the files (``sources.files.tree``).
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from fnmatch import translate
from functools import cached_property, lru_cache
from itertools import combinations

from sessions_platform.contracts.calendar import Calendar
from sessions_platform.contracts.path_directives import (
    DIRECTIVES,
    SHAPES,
    UNPADDED,
    Token,
    moment_of,
    shape_of,
    tokens_of,
    touching_digits,
    written,
)
from sessions_platform.errors import UserError

PLACEHOLDER = re.compile(r"\{partition(?::([^}]*))?\}")
ANY_FOLDERS = "**"

_REGEXES = {**DIRECTIVES, **SHAPES}
_KEYS_CACHED = 4096


class TemplateError(UserError):
    """A path from which the landing partition can't be parsed."""


class PathTemplate:
    """A path with a placeholder, for one calendar of landing partitions.

    A placeholder states the start of the partition's window by directives of `strftime`, or as `epoch_s` or
    `epoch_ms`; without a format it states the partition key.

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
        return PLACEHOLDER.sub(lambda match: "".join(_written(start, self._parts(match))), self._text)

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

    def partition_in_name(self, name: str) -> str | None:
        """The partition key that a file's name states by itself, wherever the file is; None where it states none."""
        last = self._segments[-1]
        values = last.values(name) if last else None
        directives = self._directives[-len(values) :] if values else []
        moment = moment_of(dict(zip(directives, values or (), strict=True)), self._calendar.zone) if values else None
        if moment is None or not self._covers(moment):
            return None
        key = self._calendar.key_of(moment)
        return key if [written(self._start(key), directive) for directive in directives] == list(values or ()) else None

    def misfit(self, path: str) -> str | None:
        """Why a path that looks like one of the template states no partition, and the fix.

        None where it states one, or where its numbers and words are not where the template has its own.
        """
        names = path.split("/")
        if self.partition_in(path) is not None or _values(self._shape, names) is None:
            return None
        values = _values(self._segments, names)
        moment = self._moment(values) if values is not None else None
        if moment is not None and not self._covers(moment):
            return self._outside(moment)
        if better := next((other for other in self._spelled_otherwise if other.partition_in(path)), None):
            return f"its numbers are spelled otherwise. Fix: write {''.join(better.placeholders)} in source.files"
        fix = f"write it as in {self.of(self._calendar.first_key)}"
        return f"its name states no start of a landing partition ({self._cadence}). Fix: {fix}"

    def _outside(self, moment: datetime) -> str:
        first = self._calendar.first_key
        if moment < self._calendar.first_start:
            return f"it is dated before the first landing partition, {first}. Fix: an earlier start, or remove it"
        return f"it is dated after the stream's end, {self._calendar.end:%Y-%m-%d}. Fix: a later end, or remove it"

    @property
    def placeholders(self) -> list[str]:
        """The placeholders as they are written in the template."""
        return [match[0] for match in PLACEHOLDER.finditer(self._text)]

    @cached_property
    def _spelled_otherwise(self) -> list["PathTemplate"]:
        """The templates with and without leading zeros that this one could have been, those with one change first."""
        pairs = [pair for padded, unpadded in UNPADDED.items() for pair in ((padded, unpadded), (unpadded, padded))]
        present = [pair for pair in pairs if pair[0] in self._directives]
        templates: list[PathTemplate] = []
        for count in range(1, len(present) + 1):
            for chosen in combinations(present, count):
                with suppress(TemplateError):
                    templates.append(PathTemplate(self._with(chosen), self._calendar))
        return templates

    def _with(self, changed: Sequence[tuple[str, str]]) -> str:
        """The template with other directives in its placeholders."""

        def placeholder(match: re.Match[str]) -> str:
            texts = [token.text for token in tokens_of(self._format(match))]
            return "{partition:" + "".join(dict(changed).get(text, text) for text in texts) + "}"

        return PLACEHOLDER.sub(placeholder, self._text)

    def _stated_by_folder(self, folder: str) -> str | None:
        values = _values(self._segments[:-1], folder.split("/") if folder else [])
        return None if values is None else self._key_of(tuple(values))

    def _parsed_key(self, values: tuple[str, ...]) -> str | None:
        """The partition key for a value of each directive."""
        moment = self._moment(values)
        if moment is None or not self._covers(moment):
            return None
        key = self._calendar.key_of(moment)
        return key if self._directive_values(self._start(key)) == list(values) else None

    def _directive_values(self, start: datetime) -> list[str]:
        return [written(start, directive) for directive in self._directives]

    def _covers(self, moment: datetime) -> bool:
        end = self._calendar.end
        return self._calendar.first_start <= moment and (end is None or moment < end)

    def _start(self, key: str) -> datetime:
        return datetime.strptime(key, self._calendar.key_format).replace(tzinfo=self._calendar.zone)

    def _moment(self, values: Sequence[str]) -> datetime | None:
        return moment_of(dict(zip(self._directives, values, strict=True)), self._calendar.zone)

    def _format(self, placeholder: re.Match[str]) -> str:
        return placeholder[1] or self._calendar.key_format

    def _parts(self, placeholder: re.Match[str]) -> list[Token]:
        return [_known(token) for token in tokens_of(self._format(placeholder))]

    @cached_property
    def _tokens(self) -> list[Token]:
        """The template's parts in order."""
        tokens: list[Token] = []
        end = 0
        for match in PLACEHOLDER.finditer(self._text):
            tokens += [Token("glob", self._text[end : match.start()]), *self._parts(match)]
            end = match.end()
        return [token for token in [*tokens, Token("glob", self._text[end:])] if token.text]

    @cached_property
    def _directives(self) -> list[str]:
        return [text for kind, text in self._tokens if kind == "directive"]

    @cached_property
    def _segments(self) -> list["_Name | None"]:
        return _segments_of(self._tokens)

    @cached_property
    def _shape(self) -> list["_Name | None"]:
        return _segments_of(shape_of(self._tokens))

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
            if self._moment(self._directive_values(start)) != start:
                raise TemplateError(f"{self._text!r} does not distinguish {self._cadence} partitions")
        if touched := touching_digits(self._tokens):
            raise TemplateError(f"{touched} has any number of digits, and others touch it in {self._text!r}")

    @property
    def _cadence(self) -> str:
        return self._calendar.cadence.value


def _segments_of(tokens: Sequence[Token]) -> list["_Name | None"]:
    """A matcher for each name of the path; None where any number of folders may be."""
    segments: list[list[Token]] = [[]]
    for kind, text in tokens:
        first, *others = text.split("/")
        segments[-1].append(Token(kind, first))
        segments += [[Token(kind, other)] for other in others]
    names: list[_Name | None] = []
    for parts in segments:
        is_any = _glob_of(parts) == ANY_FOLDERS
        if not is_any or not names or names[-1]:  # several `**` in a row are one
            names.append(None if is_any else _Name(parts))
    return names


class _Name:
    """The pattern of one name of a path: a glob, directives and literal text between them, and a glob.

    Where several values are possible, it takes the last ones in the name. What `fnmatch` makes of a glob never goes
    back behind a wildcard that has matched, so the globs before and after the directives are matched apart from them.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
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


def _glob_of(tokens: Sequence[Token]) -> str:
    return "".join(text for _, text in tokens)


def _token_regex(kind: str, text: str) -> str:
    if kind == "directive":
        return f"({_REGEXES[text]})"
    return re.escape(text) if kind == "literal" else translate(text).removesuffix(r"\Z").removesuffix(r"\z")


def _known(token: Token) -> Token:
    """A token of a format, with `%%` as the literal that it stands for."""
    if token.kind == "literal" and token.text.startswith("%") and token.text != "%%":
        raise TemplateError(f"{token.text} can't be used in a placeholder: use {' '.join(DIRECTIVES)}")
    return token._replace(text=token.text.replace("%%", "%")) if token.kind == "literal" else token


def _written(start: datetime, parts: Sequence[Token]) -> list[str]:
    return [written(start, text) if kind == "directive" else text for kind, text in parts]
