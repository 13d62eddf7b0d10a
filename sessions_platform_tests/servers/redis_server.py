"""Redis itself, from Debian: one server that writes each change to its disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from redis import Redis, RedisError

from sessions_platform_tests.servers.installs import from_debian
from sessions_platform_tests.servers.running import Server, free_port

PASSWORD = "s3cr3t"


class RedisServer:
    """A server. Kill it by `server.kill`, and start it again on the same data by `server.start`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        program = from_debian("redis-server", "redis-server")
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--requirepass", PASSWORD]
        self.server = Server([program, *where, *durable], folder, self._answers)

    def client(self) -> Redis:
        return Redis.from_url(self.url, decode_responses=True)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    with TemporaryDirectory(prefix="redis-") as name:
        running = RedisServer(Path(name))
        with running.server:
            yield running
