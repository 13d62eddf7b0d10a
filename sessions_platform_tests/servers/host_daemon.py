"""Dagster's daemon on a host, which starts runs there: ``python -m sessions_platform_tests.servers.host_daemon``.

What it says is in `LOG`, as the host sees its temporary files.
"""

import os
import sys

from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.settings import Settings

LOG = "daemon.log"
_COMMAND = ["-m", "dagster._daemon", "run", "-m", "sessions_platform.definitions"]


def main() -> None:
    """Become the daemon."""
    home = dagster_home(Settings.from_environment(), os.environ)
    said = os.open(f"/tmp/{LOG}", os.O_CREAT | os.O_WRONLY)
    for output in (1, 2):
        os.dup2(said, output)
    os.execve(sys.executable, [sys.executable, *_COMMAND], {**os.environ, "DAGSTER_HOME": str(home)})


if __name__ == "__main__":
    main()
