"""Opens the source of a stream, by the table `contracts.sources.SOURCE_TYPES`.

The only place that goes from a configuration to its implementation, and the only one where it
matters which implementation that is. Implementations are imported when the first stream needs them.
"""

from pkgutil import resolve_name

from sessions_platform.contracts.stream import Stream
from sessions_platform.settings import Settings
from sessions_platform.sources.base import FileLanding, Source


def open_source(stream: Stream, settings: Settings) -> Source:
    """The source that `stream.source` configures."""
    return resolve_name(stream.source.opened_by)(stream, settings)


def file_landing(source: Source) -> FileLanding | None:
    """The source's capability to take in files; None where it has none."""
    return source if isinstance(source, FileLanding) else None
