"""One program of a benchmark, as a process: `python -m benchmarks.child MODULE FUNCTION '{"argument": …}'`."""

import importlib
import json
import sys

from benchmarks import measure


def main() -> None:
    module, function, arguments = sys.argv[1:]
    answer = getattr(importlib.import_module(f"benchmarks.{module}"), function)(**json.loads(arguments))
    print(json.dumps({**(answer or {}), "marks": measure.marks()}))


if __name__ == "__main__":
    main()
