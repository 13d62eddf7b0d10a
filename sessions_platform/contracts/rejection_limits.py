"""How many rejected rows a landing partition may have, as the key `rejected` of a stream's file states it.

Not here: why a row is rejected (``rejection_reasons``), what is stored of it (``rejected_events``), and the
comparison of a partition's counts with the limits (``transforms.thresholds``).
"""

from pydantic import Field

from sessions_platform.contracts.model import Model
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.values import Retention, Share


class Thresholds(Model):
    """Shares of the raw rows of a landing partition. A share that equals its threshold is within it."""

    warn_above: Share | None = Field(None, description="A greater share of rejected rows is warned of.")
    fail_above: Share | None = Field(None, description="A greater share fails the partition: nothing is published.")


class Rejected(Thresholds):
    """How many rejected rows are too many, and how long they are kept."""

    by_reason: dict[Code, Thresholds] = Field(default_factory=dict, description="The same, for single reasons.")
    keep_for: Retention | None = Field(None, description="How long rejected rows are kept; without it, always.")
