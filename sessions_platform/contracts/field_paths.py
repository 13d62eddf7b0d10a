"""Paths to source fields, as `from` and `join` state them: one small grammar.

    path   = step ("." step)*
    step   = ["json:"] (name | '"' text '"') selector*
    selector = "[" number "]" | "[" name "=" text "]"

A step enters an object by its key; a quoted one may contain any character but a quote. ``[0]`` is the first item of a
list and ``[-1]`` the last; ``[key=page_location]`` is the first item that is an object whose ``key`` has this text.
Before a step, ``json:`` says that its value is text that holds JSON, and that the path goes on within that JSON.
In `from`, ``(string|int)_value`` stands for two names that are tried in turn (``alternatives``). Not here: what begins
a path into the envelope (``columns.ENVELOPE``), and how a path finds a value in a row (``transforms.parse``).
"""

import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

_STEP = re.compile(
    r'(?P<json>json:)?+(?:"(?P<quoted>[^"]+)"|(?P<name>[^.\[\]"][^.\[\]]*|))(?P<selectors>(?:\[[^\[\]]*\])*)(?:\.|$)'
)
_INDEX = re.compile(r"-?[0-9]{1,9}")
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")


class Match(NamedTuple):
    """The first item of a list that is an object whose `key` has the text `value`."""

    key: str
    value: str


class Parsed(Enum):
    """The value so far is text that holds JSON, and what follows leads into it."""

    json = "json:"


Step = str | int | Match | Parsed


class PathError(ValueError):
    """A text is no path. The message says why, as a clause."""


@lru_cache(maxsize=4096)
def steps_of(path: str) -> tuple[Step, ...]:
    """The steps of a path: keys of objects, indexes of lists and matches within them.

    Raises:
        PathError: it is no path.
    """
    if not any(character in path for character in '[]"') and Parsed.json.value not in path:
        return tuple(path.split("."))
    steps: list[Step] = []
    at, follows = 0, True
    while follows:
        step = _STEP.match(path, at)
        if step is None:
            raise PathError(f"{path[at:]!r} is no step of a path")
        if step["json"] and not (step["quoted"] or step["name"]):
            raise PathError("json: is not followed by the field that holds JSON")
        steps.append(step["quoted"] or step["name"])
        steps += [Parsed.json] if step["json"] else []
        steps += [_selector(text) for text in re.findall(r"\[([^\[\]]*)\]", step["selectors"])]
        at, follows = step.end(), step[0].endswith(".")
    return tuple(steps)


def _selector(text: str) -> Step:
    key, is_match, value = text.partition("=")
    if is_match and key:
        return Match(key, value)
    if not _INDEX.fullmatch(text):
        raise PathError(f"[{text}] selects no item of a list")
    return int(text)


def names_of(path: str) -> tuple[str, ...]:
    """The keys with which a path begins, up to its first list or text that holds JSON."""
    steps = steps_of(path)
    first_within = next((number for number, step in enumerate(steps) if not isinstance(step, str)), len(steps))
    return tuple(step for step in steps[:first_within] if isinstance(step, str))


def enters_value(path: str) -> bool:
    """Whether a path leads into a list, or into text that holds JSON."""
    return len(names_of(path)) < len(steps_of(path))


def field_of(path: str) -> str:
    """The field that a path leads to, or whose value it enters, as drift names it: its keys, joined by dots."""
    return ".".join(names_of(path))


def reads_json(path: str) -> bool:
    """Whether a path leads into text that holds JSON."""
    return Parsed.json in steps_of(path)


def alternatives(path: str) -> list[str]:
    """The paths that a path with names to choose from stands for, in their order: ``(a|b)_x`` is a_x, then b_x."""
    choice = _CHOICE.search(path)
    if choice is None:
        return [path]
    return [
        each
        for name in choice[1].split("|")
        for each in alternatives(f"{path[: choice.start()]}{name}{path[choice.end() :]}")
    ]
