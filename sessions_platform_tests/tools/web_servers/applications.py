"""The application behind Gunicorn: it answers every request with two bytes, and those for /slow late."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from sessions_platform_tests.tools.web_servers.planted import SLOW_SECONDS


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application."""
    if "slow" in environ["PATH_INFO"]:
        time.sleep(SLOW_SECONDS)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
