"""FerretDB 1.24, built of its Go module, with SQLite behind it: MongoDB's protocol, and not MongoDB.

It changes one document at a time, without transactions. So it shows that a target needs nothing else; it does not show
what MongoDB does with two writers at the same moment.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from sessions_platform_tests.servers.installs import from_go
from sessions_platform_tests.servers.running import Server, free_port

USER, PASSWORD = "loader", "s3cr3t"
_VERSION = "v1.24.2"
_MODULE = f"github.com/FerretDB/FerretDB@{_VERSION}"


class FerretDb:
    """A server. Kill it by `server.kill`, and start it again on the same data by `server.start`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = self.url_of(USER, PASSWORD)
        version = {"build/version/version.txt": _VERSION}
        program = from_go(_MODULE, "cmd/ferretdb", "ferretdb_no_postgresql,ferretdb_no_mysql", version)
        (folder / "data").mkdir()
        where = [f"--listen-addr=127.0.0.1:{self.port}", "--debug-addr=-", f"--state-dir={folder}"]
        data = ["--handler=sqlite", f"--sqlite-url=file:{folder / 'data'}/", "--telemetry=disable", "--log-level=warn"]
        login = ["--test-enable-new-auth", "--setup-database=admin", f"--setup-username={USER}"]
        command = [program, *where, *data, *login, f"--setup-password={PASSWORD}"]
        self.server = Server(command, folder, self._answers)

    def url_of(self, user: str, password: str) -> str:
        return f"mongodb://{user}:{password}@127.0.0.1:{self.port}/?serverSelectionTimeoutMS=2000"

    def client(self) -> MongoClient[Any]:
        return MongoClient(self.url)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client["admin"].list_collection_names())
        except PyMongoError:
            return False


@contextmanager
def ferretdb() -> Iterator[FerretDb]:
    with TemporaryDirectory(prefix="ferret-") as name:
        running = FerretDb(Path(name))
        with running.server:
            yield running
