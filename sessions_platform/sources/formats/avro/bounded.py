"""Whether values of a schema are bounded by their bytes, so that they may be decoded without a process of their own.

A few bytes can otherwise say that there are 2^60 items of no bytes each, or a value in a value in a value …, by which
the decoding library takes all memory or crashes. Not here: what values become (`values`).
"""

from typing import Any

_BYTES = {"null": 0, "float": 4, "double": 8}
_DEFINING = -1


def require_bounded(schema: Any) -> None:
    """Check a schema that `values.readable_schema` has made.

    Raises:
        ValueError: a type contains itself, or an array has items that may take no bytes.
    """
    _least_bytes(schema, {})


def _least_bytes(schema: Any, named: dict[str, int]) -> int:
    """How many bytes a value takes at least; `named` has this of the types so far, by their names."""
    if isinstance(schema, list):
        for branch in schema:
            _least_bytes(branch, named)
        return 1
    if isinstance(schema, str):
        return _of_name(schema, named)
    kind = schema["type"]
    if kind in ("record", "error"):
        named[schema["name"]] = _DEFINING
        named[schema["name"]] = sum(_least_bytes(field["type"], named) for field in schema["fields"])
        return named[schema["name"]]
    if kind in ("fixed", "enum"):
        named[schema["name"]] = schema.get("size", 1)
        return named[schema["name"]]
    return _of_collection(kind, schema, named)


def _of_collection(kind: Any, schema: dict[str, Any], named: dict[str, int]) -> int:
    if kind == "array" and not _least_bytes(schema["items"], named):
        raise ValueError("an array has items that may take no bytes")
    if kind == "map":
        _least_bytes(schema["values"], named)
    return 1 if kind in ("array", "map") else _least_bytes(kind, named)


def _of_name(name: str, named: dict[str, int]) -> int:
    if named.get(name) == _DEFINING:
        raise ValueError(f"the type {name} contains itself")
    return named.get(name, _BYTES.get(name, 1))
