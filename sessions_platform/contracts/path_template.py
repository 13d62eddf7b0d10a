"""Paths of landing files with a placeholder for the landing partition: {partition:%Y-%m-%d}.

A path is generated from a partition key (`of`), and a key is parsed from a path (`partition_in`). Not here:
finding the files (``sources.files``). The regular expression is made here because `glob.translate`, which exists
from Python 3.13 on, and `wcmatch` translate a whole path, without groups for the placeholder's directives.
"""

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
        pattern, directives = self._regex
        match = pattern.fullmatch(path)
        if match is None:
            return None
        moment = self._moment(dict(zip(directives, match.groups(), strict=True)))
        if moment is None or not self._covers(moment):
            return None
        key = self._calendar.key_of(moment)
        spelled = [self._start(key).strftime(directive) for directive in directives]
        return key if spelled == list(match.groups()) else None

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
    def _regex(self) -> tuple[re.Pattern[str], list[str]]:
        """An expression that matches a path of any partition, and the directive of each of its groups."""
        pattern, directives, end = "", [], 0
        for match in PLACEHOLDER.finditer(self._text):
            tokens = _FORMAT_TOKEN.findall(self._format(match))
            pattern += _glob_regex(self._text[end : match.start()]) + "".join(map(_directive_regex, tokens))
            directives += [token for token in tokens if token in _DIRECTIVES]
            end = match.end()
        return re.compile(pattern + _glob_regex(self._text[end:]), re.DOTALL), directives

    def _reject_ambiguity(self) -> None:
        """Raise TemplateError where the first two partitions can't be parsed from their own paths."""
        first = self._calendar.key_of(self._calendar.first_start)
        for key in (first, self._calendar.key_of(self._calendar.window(first).end)):
            start, (_, directives) = self._start(key), self._regex
            if self._moment({directive: start.strftime(directive) for directive in directives}) != start:
                cadence = self._calendar.cadence.value
                raise TemplateError(f"{self._text!r} does not distinguish {cadence} partitions")


def _glob_regex(text: str) -> str:
    """A glob as a regular expression. A [set] matches any character: paths come from `glob`, which has checked it."""

    def regex(token: str) -> str:
        return _WILDCARDS.get(token) or ("[^/]" if len(token) > 1 else re.escape(token))

    return "".join(map(regex, _GLOB_TOKEN.findall(text)))


def _directive_regex(token: str) -> str:
    if token in _DIRECTIVES:
        return f"({_DIRECTIVES[token]})"
    if token.startswith("%") and token != "%%":
        raise TemplateError(f"{token} can't be used in a placeholder: use {' '.join(_DIRECTIVES)}")
    return re.escape(token.replace("%%", "%"))
