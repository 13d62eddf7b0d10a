"""Ctrl-C while a command still imports what it needs: exit code 130, and no traceback.

Here the signal comes as a module is looked for. Not here: Ctrl-C amid a command's work
(`orchestration/test_interrupted_commands.py`).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_INTERRUPTED = """
import os, runpy, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            print("interrupted", flush=True)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv = ["sessions-platform", *{arguments!r}]
runpy.run_module("sessions_platform", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("click", ["status"]),
        ("sessions_platform.cli.failures", ["status"]),
        ("typer", ["status"]),
        ("sessions_platform.cli.query", ["status"]),
        ("yaml", ["check"]),
        ("pydantic", ["check"]),
        ("polars", ["preview", "web_shop"]),
        ("psycopg", ["status"]),
        ("dagster", ["run", "web_shop"]),
    ],
)
def test_an_interrupt_amid_an_import_ends_the_command(module: str, arguments: list[str], tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED.format(module=module, arguments=arguments)],
        env={**os.environ, "SESSIONS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "interrupted\n"
    assert (ended.returncode, ended.stderr.strip()) == (130, "")
