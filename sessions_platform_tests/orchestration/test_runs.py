"""What a failed run says for people."""

import dagster as dg
import pytest
from psycopg import errors

from sessions_platform.orchestration.failures import retried_when_transient
from sessions_platform.orchestration.runs import _failure_reasons


@pytest.mark.parametrize("retries", [0, 1])
def test_a_step_that_was_retried_in_vain_names_the_cause(retries: int) -> None:
    @dg.op(retry_policy=dg.RetryPolicy(max_retries=retries))
    def lock() -> None:
        with retried_when_transient():
            raise errors.LockNotAvailable("canceling statement due to lock timeout")

    @dg.job
    def locks() -> None:
        lock()

    result = locks.execute_in_process(raise_on_error=False)
    reasons = _failure_reasons(result)
    assert reasons.startswith("lock: ")
    assert "canceling statement due to lock timeout" in reasons
