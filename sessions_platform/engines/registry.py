"""The engines by name. To add one, write its module in this package, add its line to ``ENGINES``, and its name to
``settings.ENGINES`` and to the stream's key `engine`.

Which engine a stream uses is a field of ``pipeline.context.StreamContext``.
"""

from collections.abc import Callable

from sessions_platform.engines.base import EngineContext, SessionEngine
from sessions_platform.engines.polars import PolarsEngine
from sessions_platform.errors import UserError


def _spark(context: EngineContext) -> SessionEngine:
    from sessions_platform.engines.spark import SparkEngine

    return SparkEngine(context)


ENGINES: dict[str, Callable[[EngineContext], SessionEngine]] = {
    "polars": PolarsEngine,
    "spark": _spark,
}


def open_engine(name: str, context: EngineContext) -> SessionEngine:
    """The engine of that name, for one stream. Raises UserError where there is none."""
    if name not in ENGINES:
        raise UserError(f"{name}: there is no such engine. Fix: name one of {', '.join(ENGINES)}.")
    return ENGINES[name](context)
