"""The types of warehouses that sessions can be delivered to: one line each.

PostgreSQL is not among them, since it is the system of record and not a target. A type is made with one argument, the
options that its section of a stream's file has; no stream's file has such a section yet.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sessions_platform.storage.warehouses.base import Target

TARGETS: dict[str, Callable[[Mapping[str, Any]], Target]] = {}
