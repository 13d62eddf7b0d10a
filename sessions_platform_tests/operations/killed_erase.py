"""An erasure in a process that kills itself at a given point.

Run as: python -m sessions_platform_tests.operations.killed_erase STREAM FOLDER USER POINT, with the stream's own keys
as JSON in the variable STREAM_KEYS. Points are numbered in the order of execution: one before and one after each
watched call. Point 0 kills nothing, and the number of points is printed.
"""

import json
import os
import sys
from pathlib import Path

import psycopg

from sessions_platform.contracts.stream import Stream
from sessions_platform.operations import erase
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.storage.lake import filesystem, lake
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform_tests.operations.killed_replay import count_points

_WATCHED = [
    (filesystem, "sync"),
    (filesystem.LocalFilesystem, "delete"),
    (lake.Lake, "write"),
    (Path, "replace"),
    (Path, "unlink"),
    (Ledger, "begin_erasure"),
    (Ledger, "record_redacted"),
    (Ledger, "record_refused"),
    (erase, "validate_partitions"),
    (erase, "publish"),
    (erase, "sessionize_partitions"),
    (erase, "load_sessions"),
    (erase, "rewrite_landing_files"),
    (erase, "remove_superseded_files"),
    (psycopg.Connection, "execute"),
    (psycopg.Connection, "commit"),
]

if __name__ == "__main__":
    name, folder, user, point = sys.argv[1:]
    stream = Stream.model_validate({**json.loads(os.environ["STREAM_KEYS"]), "name": name})
    stream = stream.model_copy(update={"path": Path(folder) / "web.yaml"})
    opened = StreamContext.open(stream, Settings.from_environment())
    points = count_points(int(point), _WATCHED)
    erase.erase(opened, [user])
    sys.stdout.write(f"{points()}\n")
