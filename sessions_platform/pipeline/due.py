"""Which session partitions a target lacks, by the ledger alone: `status` and sensors ask it often.

Not here: the delivery (`deliver.py`), and whether a target still has what was delivered to it, which only it can say.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sessions_platform.contracts.row_digest import RowDigest
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.ledger.ledger import Delivery, SessionVersion


class StateDigest(NamedTuple):
    """The digest of one partition's state: the session rule that made it, and the digests of its rows by table.

    As text it is the rule's version, and for each table its name, the number of rows and 32 hexadecimal digits:
    `1f0c sessions=12:0a…`. A partition that is no longer loaded has no rule.
    """

    rule: str
    tables: Mapping[str, RowDigest]

    def __str__(self) -> str:
        return " ".join([self.rule or "none", *(f"{table}={digest}" for table, digest in self.tables.items())])

    @classmethod
    def of(cls, text: str) -> "StateDigest":
        """The digest of a text; without tables where it is of another form."""
        rule, *tables = text.split(" ")
        try:
            parts = [part.split("=") for part in tables]
            return cls(rule, {table: RowDigest.of(digest) for table, digest in parts})
        except ValueError:
            return cls(rule, {})

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(digest.rows for digest in self.tables.values())


class Due(NamedTuple):
    """What is loaded, and what of it a target has.

    Attributes:
        rule: the stream's session rule version.
        tables: those that the target gets.
        loaded: the loaded version of each session partition.
        last: what was delivered last of each.
    """

    rule: str
    tables: Collection[str]
    loaded: Mapping[str, SessionVersion]
    last: Mapping[str, Delivery]

    @property
    def partitions(self) -> list[str]:
        """Those to deliver, sorted."""
        return [key for key in self._all if self._is_due(key)]

    @property
    def pending(self) -> list[str]:
        """Those that another session rule made, sorted."""
        return [key for key in self._all if self._is_of_another_rule(key)]

    @property
    def delivered(self) -> list[str]:
        """Those that can be delivered again, sorted."""
        return [key for key in self._all if not self._is_of_another_rule(key)]

    def unchanged_but(self, applied: Collection[str]) -> list[str]:
        """Those that the target had, sorted."""
        return [key for key in self.delivered if key not in applied]

    def rule_of(self, partition: str) -> str:
        """The session rule that made it; empty where it is loaded no longer."""
        return self.rule if partition in self.loaded else ""

    def last_digest(self, partition: str) -> StateDigest | None:
        """What was delivered last."""
        last = self.last.get(partition)
        return StateDigest.of(last.digest) if last else None

    def version_of(self, partition: str) -> int:
        """The snapshot that is recorded with the partition's delivery."""
        loaded, last = self.loaded.get(partition), self.last.get(partition)
        return loaded.snapshot if loaded else last.version if last else 0

    @property
    def _all(self) -> list[str]:
        return sorted({*self.loaded, *self.last})

    def _is_of_another_rule(self, partition: str) -> bool:
        loaded = self.loaded.get(partition)
        return loaded is not None and loaded.session_rule_version != self.rule

    def _is_due(self, partition: str) -> bool:
        loaded, last, digest = self.loaded.get(partition), self.last.get(partition), self.last_digest(partition)
        if loaded is None:
            return digest is not None and (digest.rows > 0 or digest.tables.keys() != set(self.tables))
        if self._is_of_another_rule(partition):
            return False
        return not (
            last
            and digest
            and last.version == loaded.snapshot
            and digest.rule == self.rule
            and digest.tables.keys() == set(self.tables)
        )


def due_partitions(context: StreamContext, target: str) -> Due:
    """What one of a stream's targets has, and what is loaded, read after it: what came between the two is due."""
    tables = context.stream.targets[target].tables
    last = context.ledger.deliveries(target)
    with context.database.transaction(read_only=True) as connection:
        loaded = {version.session_partition: version for version in context.ledger.loaded_sessions(connection)}
    return Due(context.stream.session_rule_version, tables, loaded, last)
