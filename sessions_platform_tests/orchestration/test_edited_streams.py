"""Streams whose files are edited, broken and repaired while `sessions-platform dev` runs.

One `dev` for all tests, with a code server, a daemon and runs in processes of their own, each of which reads the files
when it starts. Each test has a stream of its own; a second stream, `steady`, is never edited.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sessions_platform.pipeline.context import open_contexts
from sessions_platform.settings import DEMO_STREAMS, Settings
from sessions_platform_tests.orchestration.conftest import PROJECT, Home
from sessions_platform_tests.orchestration.dev import WatchedDev, said_by, watched_dev
from sessions_platform_tests.streams import PLAIN

pytestmark = pytest.mark.slow

STREAMS = ("edited", "broken_later", "steady")


@dataclass(frozen=True)
class Served:
    """A running `dev`, and the folder with the streams' files."""

    dev: WatchedDev
    folder: Path
    settings: Settings

    def write(self, name: str, **changes: Any) -> None:
        source = {"files": f"landing/{name}/{{partition:%Y-%m-%d}}/*.ndjson", "format": "ndjson"}
        document = {**PLAIN, "name": name, "end": "2026-01-06", "source": source, **changes}
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def land(self, name: str, day: int, event: str) -> None:
        folder = self.folder / "landing" / name / f"2026-01-{day:02}"
        folder.mkdir(parents=True, exist_ok=True)
        row = {"id": event, "user": "ann", "ts": f"2026-01-{day:02}T12:00:00+00:00", "type": "view", "url": None}
        (folder / f"{event}.ndjson").write_text(json.dumps(row) + "\n")

    def contracts(self, name: str) -> dict[str, str]:
        """The contract that each published landing partition was validated under."""
        (context,) = open_contexts(self.settings, [name])
        context.prepare()
        return {landing.landing_partition: landing.contract_version for landing in context.ledger.landings()}

    def contract(self, name: str) -> str:
        """The contract that the file states now."""
        (context,) = open_contexts(self.settings, [name])
        return context.stream.contract_version


@pytest.fixture(scope="module")
def served(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("edited")
    (folder / "streams").mkdir()
    own = replace(settings, streams=(DEMO_STREAMS, folder / "streams"))
    (folder / "dagster").mkdir()
    (folder / "dagster" / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    written = Served(None, folder / "streams", own)  # type: ignore[arg-type]
    for name in STREAMS:
        written.write(name)
    home, environment = Home(own, folder, ""), {"DAGSTER_HOME": str(folder / "dagster")}
    with watched_dev(home, folder / "dev.log", environment) as dev:
        for name in STREAMS:
            dev.start_sensor(f"{name}__new_files")
        yield replace(written, dev=dev)


def test_an_edited_stream_is_waited_for_and_its_sensor_and_its_runs_never_chase_each_other(served: Served) -> None:
    dev, of_stream = served.dev, {"sessions__stream": "edited"}
    served.land("edited", 1, "a")
    (run,) = dev.ended_runs(1, **of_stream)
    assert run["status"] == "SUCCESS"

    served.write("edited", extra_columns="drop")
    served.land("edited", 2, "b")
    told = dev.tick_that_says("edited__new_files", "has changed since these definitions were loaded")
    assert told["status"] == "SKIPPED"
    assert "edited.yaml" in told["skipReason"]
    assert "Fix: reload the definitions" in told["skipReason"]
    later = dev.next_ticks("edited__new_files")
    assert {tick["status"] for tick in later} == {"SKIPPED"}
    assert len(dev.runs(**of_stream)) == 1

    dev.reload()
    dev.tick_that_says("edited__new_files", "nothing to do")
    dev.until("both days under the new contract", lambda: set(served.contracts("edited").values()) == {now(served)})
    dev.until("the end of all runs", lambda: {run["status"] for run in dev.runs(**of_stream)} == {"SUCCESS"})
    runs = len(dev.runs(**of_stream))
    assert set(served.contracts("edited")) == {"2026-01-01", "2026-01-02"}
    assert {said_by(tick).strip() for tick in dev.next_ticks("edited__new_files")} == {"nothing to do"}
    assert len(dev.runs(**of_stream)) == runs


def now(served: Served) -> str:
    return served.contract("edited")


def test_a_stream_that_breaks_is_shown_as_broken_and_all_others_go_on(served: Served) -> None:
    dev = served.dev
    served.land("steady", 1, "a")
    (before,) = dev.ended_runs(1, sessions__stream="steady")
    assert before["status"] == "SUCCESS"
    served.write("broken_later", sesion={"gap": "1h"})
    mistake = "broken_later.yaml:"
    told = dev.tick_that_says("broken_later__new_files", mistake)
    assert told["status"] == "FAILURE"
    assert "sesion: the key is not known" in said_by(told)

    served.land("steady", 2, "b")  # its run reads all files in a process of its own
    after, _ = dev.ended_runs(2, sessions__stream="steady")
    assert after["status"] == "SUCCESS"

    dev.reload()
    assets = dev.assets()
    assert {key for key in assets if key[0] == "broken_later"} == {("broken_later", "stream_file")}
    assert "sesion: the key is not known" in assets["broken_later", "stream_file"]
    assert len([key for key in assets if key[0] == "steady"]) == 7
    told = dev.tick_that_says("broken_later__stream_file", mistake)  # it is on without being switched on
    assert told["status"] == "FAILURE"
    status, said = dev.end_of(dev.materialize("broken_later", "stream_file"))
    assert status == "FAILURE"
    assert "sesion: the key is not known" in said
    served.land("steady", 3, "c")
    assert dev.ended_runs(3, sessions__stream="steady")[0]["status"] == "SUCCESS"

    served.write("broken_later")
    dev.reload()
    assert len([key for key in dev.assets() if key[0] == "broken_later"]) == 7
    served.land("broken_later", 1, "a")
    assert dev.ended_runs(1, sessions__stream="broken_later")[0]["status"] == "SUCCESS"  # its sensor is on as before
