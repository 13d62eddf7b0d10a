"""Has a process of a trial kill itself at a commit point; Python runs this file at its start where PYTHONPATH names it.

Only the first process whose command line contains FAULT_PROGRAM: the one that creates the file FAULT_MARKER.
"""

import os
import sys


def _watch() -> None:
    from sessions_platform_tests.faults.commit_points import CommitPoints

    CommitPoints(int(os.environ["FAULT_POINT"]), int(os.environ["FAULT_SIGNAL"])).watch()


def _is_first() -> bool:
    try:
        os.close(os.open(os.environ["FAULT_MARKER"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


if os.environ.get("FAULT_PROGRAM", "\0") in " ".join(sys.orig_argv) and _is_first():
    _watch()
