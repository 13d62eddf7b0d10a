"""Whether a stream's file still says what the definitions were loaded with.

A process reads the streams' files once, when it loads its definitions: sensors those of the code location's start, a
run those of its own. After an edit both would work for different contracts until the definitions are reloaded. Here
belongs that this is noticed. Not here: the reading (`resources.py`), and which runs are requested (`sensors.py`).
"""

from collections.abc import Callable, Mapping

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.errors import UserError

STREAM = "sessions/stream"
# Of the stream as the sensor or schedule that requested the run knows it.
STREAM_VERSION = "sessions/stream_version"

_RELOAD = "Fix: reload the definitions (in the UI: Deployment, Reload)."


class OtherVersionError(UserError):
    """A run was requested for another state of the stream's file than the one that it has read."""


def changed_since_loading(stream: Stream) -> str | None:
    """A sentence if the file now gives another stream than the loaded one; None if it gives the same.

    Raises:
        StreamError: the file has problems now.
    """
    if not stream.path.exists():
        return f"{stream.path}: it is gone since these definitions were loaded, so no run is requested. {_RELOAD}"
    current = load_stream(stream.path, stream.home, stream.pseudonym_key)
    if (current.name, current.definition_version) == (stream.name, stream.definition_version):
        return None
    return f"{stream.path}: it has changed since these definitions were loaded, so no run is requested. {_RELOAD}"


def require_requested_version(tags: Mapping[str, str], named: Callable[[str], Stream]) -> None:
    """Let a run do only what was requested.

    Args:
        tags: of the run. Without `STREAM_VERSION` it was started by hand, for whatever the file says now.
        named: gives the streams that this process has read.

    Raises:
        OtherVersionError: the stream's file has changed between the request and the start of the run.
    """
    if STREAM_VERSION not in tags:
        return
    stream = named(tags[STREAM])
    if stream.definition_version != tags[STREAM_VERSION]:
        raise OtherVersionError(
            f"{stream.path}: it has changed since this run was requested, so the run has changed nothing. {_RELOAD} "
            "Then runs are requested again."
        )
