"""What a warehouse besides PostgreSQL has to offer.

PostgreSQL is the system of record: one transaction there loads sessions and records it in the ledger. Any further
warehouse is a target: it gets the sessions of one session partition after the other from `pipeline/deliver.py`, after
they were loaded, and the ledger's table `deliveries` records what was delivered. A target is one file with one class,
and one line in `registry.py`. Not here: which partitions are delivered, and when.
"""

from typing import Protocol

import polars as pl


class Target(Protocol):
    """A warehouse to which sessions are delivered.

    `name` identifies it in the ledger, together with the stream's name: a target of another name gets everything again.
    """

    @property
    def name(self) -> str:
        """Its name in the ledger, permanently."""
        ...

    def apply(self, partition: str, sessions: pl.DataFrame, digest: str) -> None:
        """Make the sessions of one session partition these, and no others, in one transaction.

        This has to be idempotent by digest: applied again with the digest of the last time it changes nothing. It
        is applied again where a process was killed after it had been applied and before that was recorded.

        Args:
            partition: the key, as in the column session_partition.
            sessions: the columns of `contracts.sessions.session_columns`, sorted by session_id, which is unique
                among all partitions of the stream. Empty where the partition has no sessions any longer.
            digest: a text that is the same only for the same session rule, column names and values.

        Raises:
            Exception: of any kind; then nothing has changed, and nothing is recorded.
        """
        ...
