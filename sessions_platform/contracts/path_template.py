"""The path of landing files, with a placeholder for the landing partition in it."""

import re
from datetime import datetime
from functools import cached_property

from sessions_platform.contracts.calendar import Calendar
from sessions_platform.errors import UserError

PLACEHOLDER = re.compile(r"\{partition(?::([^}]*))?\}")

_DIRECTIVES = {
    "%Y": r"\d{4}", "%G": r"\d{4}", "%y": r"\d{2}", "%m": r"\d{2}", "%d": r"\d{2}", "%j": r"\d{3}",
    "%V": r"\d{2}", "%H": r"\d{2}", "%M": r"\d{2}", "%S": r"\d{2}", "%b": r"[^\W\d_]+", "%B": r"[^\W\d_]+",
}  # fmt: skip
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_GLOB_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_FORMAT_TOKEN = re.compile(r"%.|[^%]+", re.DOTALL)


class TemplateError(UserError):
    """A path that no landing partition can be told from."""


class PathTemplate:
    """A path with the landing partition in it, read both ways.

    A partition is written as its window's start. A path that tells any other moment
    belongs to no partition. Raises TemplateError where paths can't tell partitions apart.
    """

    def __init__(self, text: str, calendar: Calendar) -> None:
        self._text = text
        self._calendar = calendar
        self._refuse_ambiguity()

    def of(self, key: str) -> str:
        """The glob of one partition's files."""
        start = self._start(key)
        return PLACEHOLDER.sub(lambda found: start.strftime(self._format(found)), self._text)

    def of_all(self) -> str:
        return PLACEHOLDER.sub(lambda found: re.sub(r"[^/]+", "*", self._format(found)), self._text)

    def partition_in(self, path: str) -> str | None:
        pattern, directives = self._regex
        found = pattern.fullmatch(path)
        moment = self._moment(dict(zip(directives, found.groups(), strict=True))) if found else None
        if moment is None or found is None or not self._covers(moment):
            return None
        key = self._calendar.key_of(moment)
        spelled = [self._start(key).strftime(directive) for directive in directives]
        return key if spelled == list(found.groups()) else None

    def _covers(self, moment: datetime) -> bool:
        end = self._calendar.end
        return self._calendar.first_start <= moment and (end is None or moment < end)

    def _start(self, key: str) -> datetime:
        return datetime.strptime(key, self._calendar.key_format).replace(tzinfo=self._calendar.zone)

    def _moment(self, told: dict[str, str]) -> datetime | None:
        """The moment that a value for each directive tells; a week begins on its Monday."""
        if "%V" in told:
            told = {**told, "%u": "1"}
        try:
            return datetime.strptime(" ".join(told.values()), " ".join(told)).replace(tzinfo=self._calendar.zone)
        except ValueError:
            return None

    def _format(self, placeholder: re.Match[str]) -> str:
        return placeholder[1] or self._calendar.key_format

    @cached_property
    def _regex(self) -> tuple[re.Pattern[str], list[str]]:
        """Matches a path of any partition; each group holds what stands for a directive of strftime."""
        pattern, directives, end = "", [], 0
        for found in PLACEHOLDER.finditer(self._text):
            tokens = _FORMAT_TOKEN.findall(self._format(found))
            pattern += _glob_regex(self._text[end : found.start()]) + "".join(map(_directive_regex, tokens))
            directives += [token for token in tokens if token in _DIRECTIVES]
            end = found.end()
        return re.compile(pattern + _glob_regex(self._text[end:]), re.DOTALL), directives

    def _refuse_ambiguity(self) -> None:
        """A format that leaves out the day would put many partitions in one place."""
        first = self._calendar.key_of(self._calendar.first_start)
        for key in (first, self._calendar.key_of(self._calendar.window(first).end)):
            start, (_, directives) = self._start(key), self._regex
            if self._moment({directive: start.strftime(directive) for directive in directives}) != start:
                cadence = self._calendar.cadence.value
                raise TemplateError(f"{self._text!r} does not tell {cadence} partitions apart")


def _glob_regex(text: str) -> str:
    """Loose about [sets]: whoever asks has had the path from `glob` already."""

    def regex(token: str) -> str:
        return _WILDCARDS.get(token) or ("[^/]" if len(token) > 1 else re.escape(token))

    return "".join(map(regex, _GLOB_TOKEN.findall(text)))


def _directive_regex(token: str) -> str:
    if token in _DIRECTIVES:
        return f"({_DIRECTIVES[token]})"
    if token.startswith("%") and token != "%%":
        raise TemplateError(f"{token} can't stand in a placeholder: use {' '.join(_DIRECTIVES)}")
    return re.escape(token.replace("%%", "%"))
