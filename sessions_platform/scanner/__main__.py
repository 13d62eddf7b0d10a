"""`python -m sessions_platform.scanner`: compile the scanner. One line says how it went; it is no failure without."""

import sys

from sessions_platform.errors import UserError
from sessions_platform.scanner.build import build
from sessions_platform.scanner.check import check


def main() -> None:
    try:
        said = f"The scanner is compiled: {build(check)}"
    except UserError as error:
        said = f"Without the scanner NDJSON is read more slowly, with the same result: {error}"
    sys.stdout.write(f"{said}\n")


if __name__ == "__main__":
    main()
