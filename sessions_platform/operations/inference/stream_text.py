"""The file of a stream, as text with comments that say why.

Here: YAML. Not here: what is written in it (`draft`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

_WIDTH = 110


class _Dumper(yaml.SafeDumper):
    """Writes text with line ends, such as a verbose pattern, in double quotes, where they are escapes."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\n" in text else None)


_Dumper.add_representer(str, _text)


def stream_text(
    draft: Mapping[str, Any], header: Sequence[str], reasons: Mapping[str, Sequence[str]], missing: Mapping[str, str]
) -> str:
    """The text of a stream's file.

    Args:
        draft: its keys and values, in their order.
        header: comments above everything.
        reasons: comments by the dotted path of a key, above it.
        missing: by column that could not be told, a sentence; it is written as a comment, to be filled in.
    """
    lines = [f"# {line}" for line in header]
    for key, value in draft.items():
        comments = [f"# {reason}" for reason in reasons.get(key, ())]
        if key == "columns":
            above = [*(f"  {comment}" for comment in comments), *_missing(missing)]
            lines += ["columns:", *above, *_nested("columns", value, reasons)]
            continue
        lines += comments
        if isinstance(value, dict):
            lines += [f"{key}:", *_nested(key, value, reasons)]
        else:
            lines.append(f"{key}: {scalar(value)}")
    return "\n".join([*lines, ""])


def _missing(missing: Mapping[str, str]) -> list[str]:
    return [line for name, sentence in missing.items() for line in (f"  # {sentence}", f"  # {name}: {{from: …}}")]


def _nested(above: str, values: Mapping[str, Any], reasons: Mapping[str, Sequence[str]]) -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        lines += [f"  # {reason}" for reason in reasons.get(f"{above}.{key}", ())]
        lines.append(f"  {key}: {scalar(value)}")
    return lines


def scalar(value: Any) -> str:
    """A value in one line of YAML, lists and mappings in brackets; text is quoted where it would be read otherwise."""
    text = yaml.dump(value, None, _Dumper, default_flow_style=True, width=100_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").replace("\n", " ")
