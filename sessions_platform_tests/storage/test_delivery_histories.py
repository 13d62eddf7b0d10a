"""After any history of arrivals, corrections, deliveries, kills and foreign changes, a target equals PostgreSQL."""

import shutil
from collections.abc import Callable

import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform_tests.contexts import context, open_context
from sessions_platform_tests.storage.delivery_histories import History, assert_equal_after_any_history
from sessions_platform_tests.storage.targets import BOTH_TABLES, KINDS

__all__ = ["context", "open_context"]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_equals_postgres_after_any_history(
    kind: str, open_context: Callable[..., StreamContext], tmp_path_factory: pytest.TempPathFactory
) -> None:
    def begin() -> History:
        path = tmp_path_factory.mktemp(kind) / "out"

        def remove() -> None:
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)

        return History(open_context(targets={kind: {"path": str(path), "tables": BOTH_TABLES}}), remove)

    assert_equal_after_any_history(begin)
