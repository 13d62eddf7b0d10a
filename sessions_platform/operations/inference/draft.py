"""A stream that reads a sample: its keys and values, with the reasons for them.

Here: how what was inferred becomes the keys of a stream's file. Not here: the inference of each (the other modules),
and whether the stream accepts the rows (`operations.init`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from sessions_platform.operations.inference.columns import other_columns, trimmed
from sessions_platform.operations.inference.fields import Field, fields_of
from sessions_platform.operations.inference.landing import Template
from sessions_platform.operations.inference.null_words import null_words
from sessions_platform.operations.inference.roles import Role, Roles, roles_of
from sessions_platform.operations.inference.sample import Sample

_BEFORE_FIRST = timedelta(days=7)
_NO_COMMENT = "exclude_hit", "excludehit"


@dataclass(frozen=True)
class Draft:
    """A stream's file before it is written.

    Attributes:
        keys: the keys and values of the file, without `source.files`, which `at` sets.
        reasons: comments by the dotted path of a key.
        missing: by required column that no field was found for, a sentence.
        warnings: sentences on what is doubtful.
    """

    keys: Mapping[str, Any]
    reasons: Mapping[str, tuple[str, ...]]
    missing: Mapping[str, str]
    warnings: tuple[str, ...] = field(default=())

    def at(self, template: Template) -> "Draft":
        """The draft with landing files at a path."""
        comments = (template.says,)
        if template.in_place:
            comments += (f"to read files where they are: files: {template.in_place}",)
        source = {"files": template.files, **{k: v for k, v in self.keys["source"].items() if k != "files"}}
        keys = {name: value for name, value in self.keys.items() if name != "landing"}
        if template.is_hourly:
            keys = {**keys, "landing": "hourly"}
        return replace(self, keys={**keys, "source": source}, reasons={**self.reasons, "source.files": comments})

    def without(self, names: Sequence[str]) -> "Draft":
        """The draft with these columns as strings, whatever their values; and ids made from the rows for event_id."""
        columns = {
            name: {key: value for key, value in column.items() if key not in ("type", "formats", "timezone")}
            if name in names else column
            for name, column in self.keys["columns"].items() if name != "event_id" or name not in names
        }  # fmt: skip
        return replace(self, keys={**self.keys, "columns": columns})

    def with_future(self, duration: str) -> "Draft":
        """The draft with events accepted that lie so far behind the end of their landing partition."""
        session = {**self.keys.get("session", {}), "max_future": duration}
        why = ("events of the sample lie so far behind the day in their file's name",)
        return replace(
            self, keys={**self.keys, "session": session}, reasons={**self.reasons, "session.max_future": why}
        )


def drafted(name: str, options: Mapping[str, Any], sample: Sample, now: datetime) -> Draft:
    """The stream that would read a sample.

    Args:
        name: of the stream.
        options: of its source: format, separators and so on.
        sample: at least one row.
        now: times of events are not later than a year after it.
    """
    found = fields_of(sample.rows)
    nulls = null_words(found)
    fields = [each.without(nulls) for each in found]
    roles = roles_of(fields, now)
    by_path = {each.path: each for each in fields}
    is_orc = options["format"] == "orc"
    columns = {
        **_role_columns(roles, by_path, timezone_is_needed=is_orc),
        **other_columns(fields, roles.used, roles.times, timezone_is_needed=is_orc),
    }
    source: dict[str, Any] = {"files": "", **options}
    if nulls:
        source["nulls"] = nulls
    first = roles.time.time.first if roles.time.time else now
    keys: dict[str, Any] = {"name": name, "start": start_before(first), "source": source, "columns": columns}
    skip = _skip(columns)
    if skip:
        keys["skip"] = skip
    keys["session"] = {"gap": "30m"}
    problems = {"user_id": roles.user, "event_timestamp": roles.time, "event_type": roles.type}
    return Draft(
        keys,
        {**_reasons(roles), **({"source.nulls": ("texts of the sample that mean null",)} if nulls else {})},
        {column: role.reason for column, role in problems.items() if not role.paths},
        tuple(warning for role in (roles.user, roles.time, roles.type) for warning in role.warnings),
    )


def start_before(first: datetime) -> date:
    """The first of the month of a week before the earliest event."""
    return (first - _BEFORE_FIRST).date().replace(day=1)


def _role_columns(roles: Roles, fields: Mapping[str, Field], *, timezone_is_needed: bool) -> dict[str, dict[str, Any]]:
    """The columns that the platform knows, without those that no field was found for."""
    columns: dict[str, dict[str, Any]] = {}
    named = {"event_id": roles.id, "user_id": roles.user, "event_timestamp": roles.time, "event_type": roles.type,
             "page_url": roles.page}  # fmt: skip
    for name, role in named.items():
        if not role.paths:
            continue
        column = _from(name, role)
        if role.time:
            column["formats"] = list(role.time.formats)
            if timezone_is_needed:
                column["timezone"] = "UTC"
        for path in role.paths:
            column |= trimmed(fields[path])
        columns[name] = {**column, **({"nullable": True} if role.is_nullable else {})}
    return columns


def _from(name: str, role: Role) -> dict[str, Any]:
    if role.is_joined:
        return {"join": list(role.paths)}
    if role.paths == (name,):
        return {}
    return {"from": role.paths[0] if len(role.paths) == 1 else list(role.paths)}


def _reasons(roles: Roles) -> dict[str, tuple[str, ...]]:
    named = {"event_id": roles.id, "user_id": roles.user, "event_timestamp": roles.time, "event_type": roles.type,
             "page_url": roles.page}  # fmt: skip
    reasons = {f"columns.{name}": (role.reason, *role.warnings) for name, role in named.items()}
    if not roles.id.paths:
        reasons["columns"] = (f"event_id: {roles.id.reason}",)
    reasons["start"] = ("the first session partition; events before it are rejected",)
    reasons["session"] = ("a longer silence ends a session: see the silences that init shows",)
    return reasons


def _skip(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What data feeds mark as excluded."""
    return [{"column": name, "not_in": ["0"]} for name in columns if name in _NO_COMMENT]
