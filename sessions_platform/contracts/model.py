"""The base of every model of a stream's file.

Here: how strictly a file is read (no unknown key, no change after validation), and that a model is built when a value
is first validated: models that are part of another are then built once, with it. The models themselves are in the
modules of their keys (`stream` lists them); the types of single values are in `values`.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A mapping of a stream's file: unknown keys are errors, and an instance is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def no_keys() -> Any:
    """The default of a key that is a model of its own: validated with the rest, it has the defaults of its keys."""
    return {}
