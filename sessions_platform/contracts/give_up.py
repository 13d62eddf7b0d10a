"""The key `give_up_after` of everything that is a server: an object store, or a source of records.

Not here: how it is waited for (`sources.patience`), and the other keys of servers (`server_source`, `object_store`).
"""

from datetime import timedelta

from pydantic import Field

from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import PositiveDuration


class GivesUp(Model):
    """For how long a server is tried."""

    give_up_after: PositiveDuration = Field(
        timedelta(minutes=1),
        description="For how long a server that does not answer is tried.",
        json_schema_extra={"default": "1m"},
    )
