"""Print the licence of each package that a list of requirements on standard input names, as its metadata states it.

Packages that are for other systems, and those whose metadata states none, are named at the end.
"""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution


def licence(package: Distribution) -> str | None:
    """The SPDX expression; else the classifiers; else the first line of the text."""
    metadata = package.metadata
    if stated := metadata.get("License-Expression"):
        return stated
    classifiers = metadata.get_all("Classifier", [])
    classified = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License")]
    if classified and classified != ["OSI Approved"]:
        return ", ".join(classified)
    text = (metadata.get("License") or "").strip().splitlines()
    return text[0].strip() if text else None


def main() -> None:
    lines = [line.strip() for line in sys.stdin if line.strip() and line[0] != "#"]
    names = sorted({re.split(r"[=<>;\s\[]", line, maxsplit=1)[0] for line in lines})
    unknown, elsewhere = [], []
    for name in names:
        try:
            package = distribution(name)
        except PackageNotFoundError:
            elsewhere.append(name)
            continue
        stated = licence(package)
        unknown += [] if stated else [name]
        print(f"{name}\t{package.version}\t{stated or 'NOT STATED'}")
    if elsewhere:
        print(f"not installed on this system: {', '.join(elsewhere)}")
    if unknown:
        print(f"their metadata states no licence: {', '.join(unknown)}")


main()
