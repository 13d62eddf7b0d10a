"""Kinesalite, a Kinesis in a process of its own, by npm; its data lie in a folder."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from sessions_platform_tests.servers.installs import from_npm
from sessions_platform_tests.servers.running import Server, free_port, listens

VERSION = "kinesalite@3.3.3"
_MOST = 500  # of one request


class KinesisServer:
    """A server, and what tests do to its data streams."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        program = from_npm(VERSION) / "kinesalite" / "cli.js"
        quick = ("--createStreamMs", "1", "--updateStreamMs", "1", "--deleteStreamMs", "1")
        command = ["node", program, "--port", str(port), "--path", folder / "data", *quick]
        self.server = Server(command, folder, lambda: listens(port))
        self.client: Any = boto3.client(
            "kinesis",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def create(self, stream: str, shards: int = 1) -> None:
        self.client.create_stream(StreamName=stream, ShardCount=shards)
        self.client.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 0.05})

    def delete(self, stream: str) -> None:
        self.client.delete_stream(StreamName=stream)
        self.client.get_waiter("stream_not_exists").wait(StreamName=stream, WaiterConfig={"Delay": 0.05})

    def send(self, stream: str, records: Iterable[tuple[str, bytes]]) -> None:
        """Send records, each by its partition key; those of one key go to one shard, in order."""
        waiting = [{"PartitionKey": key, "Data": data} for key, data in records]
        for start in range(0, len(waiting), _MOST):
            answer = self.client.put_records(StreamName=stream, Records=waiting[start : start + _MOST])
            assert answer["FailedRecordCount"] == 0

    def open_shards(self, stream: str) -> list[str]:
        shards = self.client.list_shards(StreamName=stream)["Shards"]
        return [shard["ShardId"] for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]

    def split(self, stream: str) -> None:
        """Split the first open shard in halves; there are no others."""
        (shard,) = self.open_shards(stream)
        self.client.split_shard(StreamName=stream, ShardToSplit=shard, NewStartingHashKey=str(2**127))
        self._settle(stream)

    def merge(self, stream: str) -> None:
        """Merge the two open shards."""
        first, second = self.open_shards(stream)
        self.client.merge_shards(StreamName=stream, ShardToMerge=first, AdjacentShardToMerge=second)
        self._settle(stream)

    def _settle(self, stream: str) -> None:
        self.client.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 0.05})


@contextmanager
def kinesis_in(folder: Path) -> Iterator[KinesisServer]:
    """A server that runs within `with`."""
    kinesis = KinesisServer(folder, free_port())
    with kinesis.server:
        yield kinesis
