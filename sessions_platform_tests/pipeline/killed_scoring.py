"""A training, and the scoring of two partitions after it, in a process that kills itself at a given point.

Run as: python -m sessions_platform_tests.pipeline.killed_scoring POINT, with the stream's keys as JSON in the variable
STREAM_KEYS. Points are numbered in the order of execution: one before and one after each watched call.
"""

import json
import os
import sys

from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.scores import due_scores, score_sessions, train_score
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.storage.warehouses.postgres.session_scores import SessionScores
from sessions_platform_tests.operations.killed_replay import count_points

_WATCHED = [(Lake, "quarantine"), (Ledger, "publish_model"), (SessionScores, "replace")]


def train_and_score(context: StreamContext) -> None:
    """Train one model, and score the first two days where they are due."""
    train_score(context, "purchase", "a-run")
    days = ("2026-01-01", "2026-01-02")
    score_sessions(context, [partition for partition in due_scores(context).partitions if partition in days])


if __name__ == "__main__":
    stream = Stream.model_validate(json.loads(os.environ["STREAM_KEYS"]))
    count_points(int(sys.argv[1]), _WATCHED)
    train_and_score(StreamContext.open(stream, Settings.from_environment()))
