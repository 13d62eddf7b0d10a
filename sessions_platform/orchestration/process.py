"""What a process sets once before it defines or runs anything with Dagster.

`build` and `runner` call it. Nothing is set where a module is imported, so that importing the package never changes
the process that imports it.
"""

import os
import warnings

import dagster as dg


def prepare_process() -> None:
    """Silence warnings about beta features, and have Dagster store events in batches. To repeat it does nothing.

    `backfill_policy` of an asset is in beta in the locked version; tests cover it. A range of a thousand
    partitions reports for each that it is materialized: in batches that takes a third of the time.
    """
    if not any(category is dg.BetaWarning for _, _, category, _, _ in warnings.filters):
        warnings.filterwarnings("ignore", category=dg.BetaWarning)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
