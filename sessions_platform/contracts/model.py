"""The base of every model of a stream's file.

Here: how strictly a file is read (no unknown key, no change after validation). The models
themselves are in `stream`, `sources` and `formats`; the types of single values in `values`.
"""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
