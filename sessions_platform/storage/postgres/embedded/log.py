"""What the server's log says about a failure that its clients see as a lost connection only.

Not here: where a start's errors are quoted from the log (``cluster``).
"""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_BYTES_READ = 64 * 1024
_RECENT = timedelta(minutes=2)
_SECONDS_WAITED = 1.0
_WORDS = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\S* UTC \[\d+\] (PANIC:  .*|LOG:  .* was terminated by .*)$")


def last_words(home: Path) -> str:
    """Why the home's server ended a moment ago, in its own words; empty where its log does not say.

    The server writes them after its clients have noticed, so they are waited for, a second at most.
    """
    log, deadline = home / "postgres" / "cluster" / "server.log", time.monotonic() + _SECONDS_WAITED
    while not (words := _recent_words(log)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return f"The server's log: {words}" if words else ""


def _recent_words(path: Path) -> str:
    try:
        with path.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _BYTES_READ))
            lines = log.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    since = (datetime.now(UTC) - _RECENT).strftime("%Y-%m-%d %H:%M:%S")
    found = [match for line in lines if (match := _WORDS.match(line)) and match[1] >= since]
    panics = [match[2] for match in found if match[2].startswith("PANIC")]
    return next(iter((panics or [match[2] for match in found])[-1:]), "")
