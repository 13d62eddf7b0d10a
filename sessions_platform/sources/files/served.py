"""What a landing file is whose bytes come from a server. Not here: those in memory (`in_memory`), and those that are
still on their way (`sources.objects.arriving`)."""

import io
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class ServedFile(ABC):
    """Is read like an open file, as long as it is not closed."""

    @property
    @abstractmethod
    def size(self) -> int:
        """In bytes."""

    @abstractmethod
    def part(self, size: int, start: int) -> bytes:
        """At most so many bytes from `start` on; none at the end. Raises ValueError after `close`, as a file does."""

    @abstractmethod
    def file(self) -> io.FileIO:
        """The same bytes as a file, which is closed with this object. Raises UserError where there is no space."""

    @abstractmethod
    def close(self) -> None:
        """Let the bytes go."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
