"""Presets: streams of known tools, which a stream's file names and overrules key by key.

A preset is one YAML file in the package's folder `presets`; here are its model and how it is merged with a stream's own
keys. Not here: what the keys of a stream mean (``stream``), and by what a file is known as a tool's
(``sources.files.told_by``).
"""

import difflib
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import Field

from sessions_platform.contracts.issues import Issue, KeyPath, Raw, mapping
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.short_forms import written_out
from sessions_platform.contracts.values import FieldPath, Identifier, Pattern, shown

FOLDER = Path(__file__).parents[1] / "presets"
_BOOLEAN = "tag:yaml.org,2002:bool"
_NEAREST = 3


class Proof(Model):
    """On what a preset was seen to be right."""

    by: Literal["run", "sample", "documentation"] = Field(description="The tool was run; its file; its page.")
    what: str = Field(min_length=1, description="Which version, which file, which page.")
    on: date


class ToldBy(Model):
    """By what a record is known as this tool's: which fields it has, as paths of columns."""

    fields: list[FieldPath] = Field(min_length=1, description="Fields that each record has, null or not.")
    any_of: list[list[FieldPath]] = Field(default_factory=list, description="At least one of these sets, too.")
    absent: list[FieldPath] = Field(default_factory=list, description="Fields of similar tools that it never has.")
    some_line: Pattern | None = Field(None, description="What a line contains that no other tool of this form writes.")
    no_line: Pattern | None = Field(None, description="What no line contains.")


class Preset(Model):
    """The stream of one tool, with the sources of what it says."""

    name: Identifier
    tool: str = Field(min_length=1, description="As people call it.")
    kind: Literal["sdk", "export", "log"]
    proven: list[Proof] = Field(min_length=1, description="The strongest first.")
    identity: str = Field(min_length=1, description="Which field is the user or device, and why.")
    event_id: str = Field(min_length=1)
    time: str = Field(min_length=1, description="Which field, its unit and zone.")
    duplicates: str = Field(min_length=1)
    order: str = Field(min_length=1)
    skipped: str = Field(min_length=1, description="What is skipped and why, or: nothing.")
    sessions: str = Field("not compared", description="Whether sessions are the tool's own, or what is missing.")
    told_by: ToldBy
    stream: dict[str, Any] = Field(description="The keys of a stream, without its name, start and files.")


class Merged(NamedTuple):
    """A stream's file with the keys of its preset.

    Attributes:
        content: the keys of both.
        of_preset: the key paths that only the preset states.
        preset: its name; None where the file names none that there is.
        issues: why there is no preset of the name.
    """

    content: Raw
    of_preset: frozenset[KeyPath] = frozenset()
    preset: str | None = None
    issues: tuple[Issue, ...] = ()


_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # which is slower, where PyYAML is without libyaml


class _Loader(_SafeLoader):
    """YAML in which `on` is a key, and only true and false are truths."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regex) for tag, regex in resolvers if tag != _BOOLEAN or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@cache
def preset_names() -> tuple[str, ...]:
    """The names of all presets, in alphabetical order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def preset_named(name: str) -> Preset:
    """The preset of a name of `preset_names`."""
    content = yaml.load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), Loader=_Loader)
    return Preset.model_validate({"name": name, **content})


def with_preset(stated: Raw) -> Merged:
    """The content of a stream's file with the keys of the preset that its source names, short forms written out.

    The file's own keys come first: mappings are merged, lists and scalars replaced, and a null removes the preset's
    key. Raises nothing: where there is no such preset, the file stays as it is, and there is an issue.
    """
    name = mapping(stated, "source").get("preset")
    if name is None:
        return Merged(written_out(stated))
    if name not in preset_names():
        return Merged(written_out(stated), issues=(_no_such_preset(name),))
    kept, left = _without_nulled(preset_named(name).stream, stated)
    own, given = written_out(left), written_out(kept)
    return Merged(_merged(given, own), frozenset(_only_in(given, own)), name)


def _no_such_preset(name: Any) -> Issue:
    close = difflib.get_close_matches(str(name), preset_names(), n=_NEAREST, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(preset_names())}"
    return Issue(("source", "preset"), f"there is no preset {shown(name)}", f"name one that there is ({hint})")


def _without_nulled(given: Raw, own: Raw) -> tuple[Raw, Raw]:
    """Both without the preset's keys that the file states as null."""
    given, own = dict(given), dict(own)
    for key in [key for key in own if key in given]:
        if own[key] is None:
            del given[key], own[key]
        elif isinstance(own[key], dict) and isinstance(given[key], dict):
            given[key], own[key] = _without_nulled(given[key], own[key])
    return given, own


def _merged(given: Any, own: Any) -> Any:
    if not (isinstance(given, dict) and isinstance(own, dict)):
        return own
    return {**given, **{key: _merged(given.get(key), value) for key, value in own.items()}}


def _only_in(given: Raw, own: Any, above: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of keys that are in the first mapping and not in the second."""
    for key, value in given.items():
        is_own = isinstance(own, dict) and key in own
        if not is_own:
            yield (*above, str(key))
        if isinstance(value, dict) and (not is_own or isinstance(own[key], dict)):
            yield from _only_in(value, own[key] if is_own else {}, (*above, str(key)))
