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
# Those that read events with their person (``accepted_events.KnownPairs``) where sessions are cut by it.
_BY_PERSON = ("polars", "spark")


def open_engine(name: str, context: EngineContext) -> SessionEngine:
    """The engine of that name, for one stream. Raises UserError where there is none, or it can't cut by person."""
    if name not in ENGINES:
        raise UserError(f"{name}: there is no such engine. Fix: name one of {', '.join(ENGINES)}.")
    if context.stream.persons and name not in _BY_PERSON:
        fix = f"write engine: {' or '.join(_BY_PERSON)} in its file, or remove session.by"
        raise UserError(f"{context.stream.name}: the engine {name} can't cut sessions by person. Fix: {fix}.")
    return ENGINES[name](context)
