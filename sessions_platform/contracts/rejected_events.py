"""A rejected row as the dead-letter queue stores it: its payload, where it came from, and why it was rejected.

Not here: the codes of reasons (``rejection_reasons``), and how the rows are made (``transforms.rejections``).
"""

import polars as pl

from sessions_platform.contracts.polars_types import REASONS

REJECTED_EVENTS: dict[str, pl.DataType] = {
    "rejection_id": pl.String(),
    "landing_partition": pl.String(),
    "source_uri": pl.String(),
    "position": pl.Int64(),
    "payload": pl.String(),
    "payload_encoding": pl.String(),
    "reasons": REASONS,
    "contract_version": pl.String(),
    "rows": pl.Int64(),
}
