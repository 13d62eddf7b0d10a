"""What hosts share: PostgreSQL with a password for tables and Dagster's storage, and SeaweedFS for lake and landing.

Here: a site with a network, on which trials begin with landed objects, an empty lake and empty databases. Not here:
hosts (`hosts.py`) and what they do (`host_work.py`).
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import yaml
from psycopg.sql import SQL, Identifier

from sessions_platform.settings import Settings
from sessions_platform_tests.faults.trial import STREAM, Outcome, Trial, compare
from sessions_platform_tests.servers import object_stores
from sessions_platform_tests.servers.hosts import Host, Network, network
from sessions_platform_tests.servers.object_stores import BUCKET, KEY, SECRET, Bucket
from sessions_platform_tests.servers.postgres import USER, PostgresServer, postgres
from sessions_platform_tests.servers.visits import visits
from sessions_platform_tests.streams import PLAIN

DAYS = [f"2026-01-{day:02}" for day in range(1, 9)]
LAST = "2026-01-20"  # of the events: some are early for the day on which they land, some late
_DATABASE = "create database {} encoding 'UTF8' template template0"
_PASSWORD = "a password, with / and %"
_QUOTED = "a%20password%2C%20with%20%2F%20and%20%25"
# That a host or its link is gone is noticed within seconds, and not within the two minutes of the platform's settings.
_IMPATIENT = "-c%20tcp_keepalives_idle%3D2%20-c%20tcp_keepalives_interval%3D1%20-c%20tcp_keepalives_count%3D3"
_IMPATIENT += "%20-c%20tcp_user_timeout%3D3000"
_IMPATIENT += "&tcp_user_timeout=3000&keepalives_idle=2&keepalives_interval=1&keepalives_count=3"
_COMPARED = ("sessions", "events", "rejected_events", "raw_events")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class HostedTrial:
    """A stream whose objects have landed, and nothing else yet.

    Attributes:
        trial: as the test's own process sees it.
        environment: the variables of the hosts' processes.
        stream: the stream's file, of which each host has a copy.
    """

    trial: Trial
    environment: Mapping[str, str]
    stream: dict[str, Any]

    def start(self, host: Host, *arguments: str, clock: str | None = None, **variables: str) -> Popen[str]:
        """Start Python on a host, with a copy of the stream's file as it is now."""
        streams = host.folder / "streams"
        streams.mkdir(exist_ok=True)
        (streams / f"{STREAM}.yaml").write_text(yaml.safe_dump(self.stream, sort_keys=False))
        return host.start(*arguments, environment={**self.environment, **variables}, clock=clock)

    def work(self, host: Host, *works: str, clock: str | None = None, **variables: str) -> Popen[str]:
        """Start a worker: `host_work.py`."""
        return self.start(host, "-m", "sessions_platform_tests.servers.host_work", *works, clock=clock, **variables)

    def change(self, **keys: Any) -> None:
        """Change the stream's file, for the test's own process and for what starts from now on."""
        self.stream.update(keys)
        (self.trial.folder / "streams" / f"{STREAM}.yaml").write_text(yaml.safe_dump(self.stream, sort_keys=False))

    def compare(self, other: "HostedTrial") -> Outcome:
        """The rows that are in the other one and not in this one, and too many in this one."""
        mine, others = self.trial.state(), other.trial.state()
        return compare({name: others[name] for name in _COMPARED}, {name: mine[name] for name in _COMPARED})


class Site:
    """Servers on a network, and trials on them."""

    def __init__(self, folder: Path, hosts: Network, server: PostgresServer, bucket: Bucket) -> None:
        self._folder, self._server, self._bucket = folder, server, bucket
        self.network = hosts
        with server.connect() as connection:
            connection.execute(SQL("alter role {} password {}").format(Identifier(USER), _PASSWORD))
        lines = [record for _, record in visits(2400)]
        share = -(-len(lines) // len(DAYS))
        for number, day in enumerate(DAYS):
            content = b"\n".join(lines[number * share : (number + 1) * share]) + b"\n"
            bucket.put(f"{STREAM}/{day}/events.ndjson", content)

    def trial(self) -> HostedTrial:
        """Another trial: a database for the tables and one for Dagster, and a prefix of the bucket for the lake."""
        name = f"trial{next(_numbers)}"
        urls = []
        with self._server.connect() as connection:
            for database in (name, f"{name}_dagster"):
                connection.execute(SQL(_DATABASE).format(Identifier(database)))
                at = f"{self.network.address}:{self._server.port}"
                urls.append(f"postgresql://{USER}:{_QUOTED}@{at}/{database}?options={_IMPATIENT}")
        lake = f"s3://{BUCKET}/{name}/lake"
        folder = self._folder / name
        streams = folder / "streams"
        streams.mkdir(parents=True)
        settings = Settings(
            home=folder / "home",
            lake=folder / "lake",
            streams=(streams,),
            warehouse_url=urls[0],
            dagster_postgres_url=urls[1],
            lake_url=lake,
        )
        environment = {
            "SESSIONS_STREAMS": "/tmp/streams",
            "SESSIONS_LAKE": lake,
            "SESSIONS_WAREHOUSE_URL": urls[0],
            "DAGSTER_POSTGRES_URL": urls[1],
            "DAGSTER_DISABLE_TELEMETRY": "1",
            **self.credentials(),
        }
        made = HostedTrial(Trial(folder, settings), environment, {})
        made.change(**self._stream())
        return made

    def credentials(self) -> dict[str, str]:
        """The variables by which the bucket is reached."""
        at = f"http://{self.network.address}:{self._bucket.port}"
        own = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": at}
        return {**own, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1", "LANDING_SECRET": SECRET}

    def _stream(self) -> dict[str, Any]:
        store = {**self._bucket.options(), "endpoint": f"http://{self.network.address}:{self._bucket.port}"}
        files = self._bucket.uri(f"{STREAM}/{{partition:%Y-%m-%d}}/*.ndjson")
        source = {"files": files, "format": "ndjson", "store": store}
        columns = {name: column for name, column in PLAIN["columns"].items() if name != "page_url"}
        return {**PLAIN, "name": STREAM, "end": "2026-01-22", "columns": columns, "source": source}


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """A site within `with`; its credentials are in the environment of this process, too."""
    (folder / "s3").mkdir()
    with (
        network(folder) as hosts,
        postgres(hosts.address) as server,
        object_stores.s3(folder / "s3", bind="0.0.0.0") as bucket,
        pytest.MonkeyPatch.context() as environment,
    ):
        made = Site(folder, hosts, server, bucket)
        for name, value in made.credentials().items():
            environment.setenv(name, value)
        yield made


def ended(process: Popen[str], told: str | None = None) -> tuple[int, str]:
    """Wait for a worker's end, after telling it something; its exit code and what it said."""
    output, error = process.communicate(told, timeout=600)
    return process.returncode, json.dumps([output[-500:], error[-1500:]])
