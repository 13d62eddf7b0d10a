"""How long superseded data is kept, as the key `retention` of a stream's file states it.

Not here: how long resolved and discarded rows of the dead-letter queue are kept (``rejection_limits``), and the removal
itself (``operations.clean_up``).
"""

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import Retention, invalid

# Longer than any run may take, so that no file is removed that a run still reads.
SHORTEST_GRACE = timedelta(days=1)


def _at_least_a_day(duration: timedelta) -> timedelta:
    if duration < SHORTEST_GRACE:
        raise invalid("it is shorter than a day, and runs may still read what it would remove", "write 1d or more")
    return duration


_Grace = Annotated[Retention, AfterValidator(_at_least_a_day)]


class Retained(Model):
    """How long what is no longer current is kept. Current data is always kept."""

    superseded_files: _Grace = Field(
        timedelta(days=7), description="Lake files; readers, runs and backups of this time find them."
    )
    superseded_versions: _Grace = Field(
        timedelta(days=90), description="The ledger's rows about superseded versions: their counts and runs."
    )
    session_changes: Retention | None = Field(
        None, description="How long changes of sessions stay in session_changes; without it, always."
    )
