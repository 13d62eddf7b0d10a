"""The JSON schema of a stream's file, for editors: python -m sessions_platform.contracts.json_schema FILE.

It is generated from the models; rules that relate two keys (``stream_checks``) can't be part of it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from sessions_platform.contracts.issues import KeyPath
from sessions_platform.contracts.presets import preset_names
from sessions_platform.contracts.short_forms import SHORT_FORMS
from sessions_platform.contracts.sources import SOURCE_TYPES
from sessions_platform.contracts.stream import Stream


def json_schema() -> str:
    """The schema as JSON text, as docs/stream.schema.json contains it."""
    schema = Stream.model_json_schema()
    for key_path, form in SHORT_FORMS.items():
        holder, key = _place(schema, key_path)
        holder[key] = _with(holder[key], form.schema)
    _allow_presets(schema)
    return json.dumps(schema, indent=2) + "\n"


def _allow_presets(schema: dict[str, Any]) -> None:
    """What a preset states, a file that names one need not: the columns, and the format of its source."""
    with_preset = {"required": ["preset"]}
    schema["required"].remove("columns")
    in_source = {"properties": {"source": {"type": "object", **with_preset}}}
    schema["anyOf"] = [{"required": ["columns"]}, in_source]
    for model in SOURCE_TYPES.values():
        source = schema["$defs"][model.__name__]
        if "format" in source["required"]:
            source["required"].remove("format")
            source["anyOf"] = [{"required": ["format"]}, with_preset]
        source["properties"]["preset"] |= {"anyOf": [{"enum": list(preset_names())}, {"type": "null"}]}


def _place(schema: dict[str, Any], key_path: KeyPath) -> tuple[dict[str, Any], str]:
    """Where the schema of a key is: the mapping that has it, and under which name."""
    holder, key = schema, ""
    for depth, name in enumerate(key_path):
        if depth:
            holder = _referred(schema, holder[key])
        holder, key = (holder, "additionalProperties") if name == "*" else (holder["properties"], name)
    return holder, key


def _referred(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """The schema of a mapping, in the definitions or in place."""
    for each in (part, *part.get("anyOf", ())):
        if "$ref" in each:
            return schema["$defs"][each["$ref"].rpartition("/")[2]]
        if each.get("type") == "object":
            return each
    raise LookupError(f"no mapping in {part}")


def _with(schema: dict[str, Any], short: dict[str, Any]) -> dict[str, Any]:
    """A schema that the short form keeps, too; what is said about the key stays outside of the alternatives."""
    about = {name: schema[name] for name in ("default", "description", "title") if name in schema}
    long = {name: value for name, value in schema.items() if name not in about}
    alternatives = [each for one in (long, short) for each in (one["anyOf"] if set(one) == {"anyOf"} else [one])]
    return {"anyOf": alternatives, **about}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json_schema(), encoding="utf-8")
