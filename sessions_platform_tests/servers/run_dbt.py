"""Runs dbt in the environment that has it: each line of standard input is a command, and each of the output its result.

dbt imports each module on its path whose name begins with dbt_, so none here may have such a name. A result is JSON:
`nodes` with the status of each, by name, `newest` with the time that freshness was measured by, and `deprecated` with
what dbt will take no longer.
"""

import json
import sys
from typing import Any

from dbt.cli.main import dbtRunner  # pyright: ignore[reportMissingImports] - it is in that environment alone


def main() -> None:
    deprecated: list[str] = []

    def heard(event: Any) -> None:
        if "Deprecat" in event.info.name:
            deprecated.append(event.info.msg)

    for line in sys.stdin:
        deprecated.clear()
        result = dbtRunner(callbacks=[heard]).invoke(["--quiet", *json.loads(line)])
        found = getattr(result.result, "results", None) or []
        document = {
            "nodes": {each.node.name: str(each.status) for each in found},
            "newest": {each.node.name: str(getattr(each, "max_loaded_at", "")) for each in found},
            "deprecated": deprecated,
            "error": str(result.exception or ""),
        }
        sys.stderr.flush()
        print("RESULT", json.dumps(document), flush=True)  # noqa: T201


main()
