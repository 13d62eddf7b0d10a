"""The base of every model of a stream's file.

Here: how strictly a file is read (no unknown key, no change after validation). The models themselves are in the modules
of their keys (`stream` lists them); the types of single values are in `values`.
"""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A mapping of a stream's file: unknown keys are errors, and an instance is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)
