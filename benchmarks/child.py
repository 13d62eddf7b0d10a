"""One program of a benchmark, as a process: `python -m benchmarks.child MODULE FUNCTION '{"argument": …}'`."""

import importlib
import json
import sys

from benchmarks import measure
from sessions_platform.allocator import configure_allocator


def main() -> None:
    module, function, arguments = sys.argv[1:]
    if function == "ours":  # as each entry point of the platform does; the peers have their libraries' own options
        configure_allocator()
    answer = getattr(importlib.import_module(f"benchmarks.{module}"), function)(**json.loads(arguments))
    print(json.dumps({**(answer or {}), "marks": measure.marks()}))


if __name__ == "__main__":
    main()
