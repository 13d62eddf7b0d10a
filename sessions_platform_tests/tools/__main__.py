"""Run the tools and compare what they send with the fixtures: `python -m sessions_platform_tests.tools`.

Exits with 1 where something differs. Needs Node.js with npm, and the registries of npm and PyPI.
"""

import argparse
import shutil
import sys
from difflib import unified_diff
from pathlib import Path

from sessions_platform_tests.tools.recorders import RECORDERS, Recorder

FIXTURES = Path(__file__).with_name("fixtures")
BUILD = Path(__file__).parents[2] / "build" / "tools"


def main() -> int:
    """Run what the arguments name, and print what differs."""
    parser = argparse.ArgumentParser(prog="make tools", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(RECORDERS)}; without any all")
    parser.add_argument("--newest", action="store_true", help="install the newest versions, not the pinned ones")
    parser.add_argument("--accept", action="store_true", help="make what was recorded the fixtures")
    options = parser.parse_args()
    differing = 0
    for name in options.names or RECORDERS:
        recorded = BUILD / name
        shutil.rmtree(recorded, ignore_errors=True)
        recorded.mkdir(parents=True)
        RECORDERS[name].record(recorded, BUILD / "installed" / name, options.newest)
        differing += differences(RECORDERS[name], FIXTURES / name, recorded)
        if options.accept:
            shutil.rmtree(FIXTURES / name, ignore_errors=True)
            shutil.copytree(recorded, FIXTURES / name)
    _say("Nothing differs." if not differing else f"{differing} recordings differ.")
    return 1 if differing and not options.accept else 0


def differences(recorder: Recorder, fixtures: Path, recorded: Path) -> int:
    """Print how the summaries of files differ, and return of how many they do."""
    names = sorted({file.name for folder in (fixtures, recorded) for file in folder.glob("*")})
    differing = 0
    for name in names:
        before, after = (_summary(recorder, folder / name) for folder in (fixtures, recorded))
        lines = list(unified_diff(before, after, f"fixtures/{name}", f"recorded/{name}", n=1, lineterm=""))
        _say(*lines)
        differing += bool(lines)
    return differing


def _summary(recorder: Recorder, file: Path) -> list[str]:
    return recorder.summary(file) if file.exists() else []


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
