"""How `dev` gives way to Dagster. Not here: what it imports (`test_imports`), and that the UI answers (`browser`)."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from sessions_platform_tests.servers.running import free_port

_IN_PLACE_OF_DAGSTER = """
import os, sys
run, told = os.execvpe, "import signal; print(signal.getsignal(signal.SIGINT).__name__)"
os.execvpe = lambda _, command, environment: run(command[0], [command[0], "-c", told], environment)
sys.argv = ["sessions-platform", "dev", "--port", sys.argv[1]]
from sessions_platform.cli import main
main()
"""


def test_where_a_script_starts_it_in_the_background_it_can_be_ended(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IN_PLACE_OF_DAGSTER, str(free_port())],
        env={**os.environ, "SESSIONS_HOME": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as shells do for what follows an &
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "default_int_handler"
