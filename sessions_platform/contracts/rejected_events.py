"""A rejected row as the dead-letter queue stores it: its payload, where it came from, and why it was rejected.

Not here: the codes of reasons (``rejection_reasons``), and how the rows are made (``transforms.rejections``).
"""

from sessions_platform.contracts.column_types import REJECTED_EVENT_TYPES
from sessions_platform.contracts.polars_types import dtypes

REJECTED_EVENTS = dtypes(REJECTED_EVENT_TYPES)
