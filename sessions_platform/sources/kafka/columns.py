"""What the messages of a block say, in columns.

Messages are asked in small groups, as they come, and then let go: so the client makes the next ones in the same memory,
which is in the processor's caches. Not here: what is made of the columns (`envelope`, `source`).
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from sessions_platform.sources.kafka.messages import Message


class Columns:
    """What messages of one partition say, in the order of their offsets.

    Attributes:
        values, keys, headers: of each; None where it has none.
        kinds, times: of each, as the client has its time: which one it is, and milliseconds.
        size: of all values, in bytes.
    """

    def __init__(self) -> None:
        self.values: list[bytes | None] = []
        self.keys: list[bytes | None] = []
        self.headers: list[Any] = []
        self.kinds: list[int] = []
        self.times: list[int] = []
        self.size = 0
        self._offsets: list[Sequence[int]] = []

    def __len__(self) -> int:
        return len(self.values)

    @property
    def has_tombstone(self) -> bool:
        """Whether any message has no value, not even an empty one."""
        return not all(self.values) and None in self.values

    def add(self, messages: Sequence[Message]) -> None:
        """Further messages, one or more, all of one class."""
        of = type(messages[0])
        kinds, times = zip(*map(of.timestamp, messages), strict=True)
        values = list(map(of.value, messages))
        self.size += sum(map(len, filter(None, values)))
        self.values += values
        self.keys += map(of.key, messages)
        self.headers += map(of.headers, messages)
        self.kinds += kinds
        self.times += times
        self._offsets.append(_offsets(messages))

    def offsets(self, since: int = 0) -> Sequence[int]:
        """The offset of each message, less a number."""
        first, last = self._offsets[0][0], self._offsets[-1][-1]
        if last - first == len(self) - 1:
            return range(first - since, last - since + 1)
        return [offset - since for offset in chain(*self._offsets)]


def _offsets(messages: Sequence[Message]) -> Sequence[int]:
    first, last = messages[0].offset() or 0, messages[-1].offset() or 0
    if last - first == len(messages) - 1:  # as nearly always: offsets rise, so that none is left out
        return range(first, last + 1)
    return [message.offset() or 0 for message in messages]
