"""Ctrl-C and the processes that a command starts: the terminal interrupts all of them, and the command alone answers.

Here belongs what keeps an interrupt from helpers. Not here: how a command or a run ends by one (`cli/failures.py`,
`orchestration/interrupts.py`).
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def for_this_process_alone() -> Iterator[None]:
    """Start processes that no interrupt reaches, and end by other means; one that comes meanwhile is raised at the end.

    A new process has the signals blocked that the thread has blocked which starts it. Only the main thread's block can
    hold an interrupt back; in another thread nothing is delayed, and the processes are protected as well.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
