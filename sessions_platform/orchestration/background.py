"""Evaluations that may outlast the tick of a sensor.

Dagster gives a tick 60 seconds, then starts the next one while the thread of the first goes on: from then on both do
the same. Here, one evaluation of a name runs at a time, in a thread of its own; a tick waits for it only briefly, and a
later one takes the result, so that no work is thrown away and none is done twice. One that took long is followed by a
rest. Not here: what is evaluated
(`sensors.py`).
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# The part of a core that an evaluation may take. It is the time of the CPU, so that a busy machine causes no rest.
_SHARE = 0.1
_SHORT = 1.0  # seconds of the CPU after which there is no rest
_RESULT_IS_NEW_FOR = 300.0  # seconds; an older one was left behind by a sensor that was switched off


@dataclass(frozen=True)
class Finished(Generic[T]):
    """The result of an evaluation, and when that began."""

    value: T
    began_at: datetime


@dataclass(frozen=True)
class Unfinished:
    """An evaluation goes on, or another tick takes its result."""

    seconds: float


@dataclass
class _Evaluation:
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    cpu: float = 0.0
    result: Future[Any] = field(default_factory=Future)

    def run(self, evaluate: Callable[[], Any]) -> None:
        try:
            value = evaluate()
        except BaseException as error:  # it is raised again where the result is taken
            self._end()
            self.result.set_exception(error)
        else:
            self._end()
            self.result.set_result(value)

    def _end(self) -> None:
        self.ended, self.cpu = time.monotonic(), time.thread_time()  # its thread has done nothing else


class Evaluations:
    """The evaluations of this process, one of each name at a time."""

    def __init__(self) -> None:
        self._current: dict[str, _Evaluation] = {}
        self._rest_until: dict[str, float] = {}
        self._lock = Lock()

    def result(self, name: str, evaluate: Callable[[], T], seconds: float) -> Finished[T] | Unfinished:
        """The result of the evaluation of this name, which is started if none is under way.

        Args:
            name: of the evaluation.
            evaluate: what is called; its error is raised here.
            seconds: how long to wait for the result.

        Returns:
            `Unfinished` if it is not there by then. A later call gets it; one call only.
        """
        evaluation = self._join(name, evaluate)
        wait([evaluation.result], timeout=seconds)
        with self._lock:
            if not evaluation.result.done() or self._current.get(name) is not evaluation:
                return Unfinished(time.monotonic() - evaluation.began)
            del self._current[name]
            self._rest_until[name] = _end_of_rest(evaluation)
        return Finished(evaluation.result.result(), evaluation.began_at)

    def rest(self, name: str) -> float:
        """Seconds until the next evaluation of this name may begin; 0 if it may now."""
        return max(self._rest_until.get(name, 0.0) - time.monotonic(), 0.0)

    def _join(self, name: str, evaluate: Callable[[], Any]) -> _Evaluation:
        with self._lock:
            current = self._current.get(name)
            if current is None or (current.ended and time.monotonic() - current.ended > _RESULT_IS_NEW_FOR):
                current = self._current[name] = _Evaluation()
                # A process ends without waiting for it, because a folder or a database may never answer.
                Thread(target=current.run, args=[evaluate], name=f"evaluate {name}", daemon=True).start()
            return current


def _end_of_rest(evaluation: _Evaluation) -> float:
    """When the evaluation and its rest, together, have taken so long that its part of them is the share."""
    rest = evaluation.cpu / _SHARE - evaluation.cpu if evaluation.cpu > _SHORT else 0.0
    return (evaluation.ended or 0.0) + rest
