"""Metrics agree with what `status` says, survive servers that are down, and show neither rows nor secrets."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest
import yaml
from click.testing import CliRunner
from prometheus_client import generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from sessions_platform.cli import app
from sessions_platform.operations.page_tables import with_table
from sessions_platform.operations.status import status
from sessions_platform.orchestration.metrics import described, metric_table, registry
from sessions_platform.orchestration.runs import runner
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.servers.running import free_port

PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"
ALLOWED_LABELS = {
    *(
        "stream",
        "outcome",
        "reason",
        "asset",
        "target",
        "dagster_job",
        "status",
        "step",
        "check",
        "name",
        "kind",
        "daemon",
    )
}
DAY, CANARY = "2026-01-01", "canary-user"
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def values(text: str) -> Values:
    """The value of each series, by name without the prefix and by labels."""
    return {
        (sample.name.removeprefix("sessions_platform_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Scraped(NamedTuple):
    """The text of a scrape, and of which stream."""

    text: str
    home: Home


def of(found: Values, name: str, stream: str) -> dict[str, float]:
    """The values of a metric of a stream, by its other label."""
    return {
        next((value for label, value in labels if label != "stream"), ""): measured
        for (metric, labels), measured in found.items()
        if metric == name and ("stream", stream) in labels
    }


@pytest.fixture(scope="module", autouse=True)
def dagsters_tables(settings: Settings) -> None:
    """Make the tables of Dagster's storage, as its first process does."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SESSIONS_HOME", str(settings.home))
        environment.delenv("DAGSTER_HOME", raising=False)
        with runner(settings):
            pass


@pytest.fixture(scope="module")
def scraped(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """The metrics of a stream with accepted, rejected and duplicate rows, and a change that is not loaded."""
    folder = tmp_path_factory.mktemp("metrics")
    (folder / "streams").mkdir()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SESSIONS_HOME", str(settings.home))
        environment.setenv("SESSIONS_STREAMS", str(folder / "streams"))
        environment.delenv("DAGSTER_HOME", raising=False)
        home = Home(Settings.from_environment(), folder, "measured")
        home.write_stream(targets={"copy": {"type": "parquet", "path": str(folder / "copy")}})
        home.ingest(1, "a", (CANARY, 0, "e1"), (CANARY, 0, "e1"), ("", 1, "e2"), ("bob", 2, "e3"))
        with runner(home.settings) as runs:
            runs.run(f"{home.name}__materialize_all", (DAY, DAY))
            runs.run(f"{home.name}__deliver_copy")
            home.ingest(1, "b", ("bob", 3, "e4"))
            runs.run(f"{home.name}__ingest_events", (DAY, DAY))
        yield Scraped(generate_latest(registry(home.settings, pytest.fail)).decode(), home)


def test_the_ledgers_metrics_are_those_of_the_status(scraped: Scraped) -> None:
    found, name, document = values(scraped.text), scraped.home.name, status(scraped.home.stream_context)
    outcomes = {"accepted": "accepted", "rejected": "rejected", "duplicate": "duplicates", "skipped": "skipped"}
    assert of(found, "rows", name) == {label: document[key] for label, key in outcomes.items()}
    assert sum(of(found, "rows", name).values()) == document["raw_rows"] == 5
    assert of(found, "rejected_rows", name) == document["rejected_by_reason"] != {}
    assert of(found, "stale_session_partitions", name) == {"": len(document["pending"]["session"])} == {"": 1}
    assert sum(of(found, "lake_files", name).values()) == document["lake"]["files"]
    published = of(found, "published_timestamp_seconds", name)
    assert published == of(found, "stale_since_timestamp_seconds", name) != {}
    assert of(found, "unpublished_since_timestamp_seconds", name) == {}


def test_dagsters_metrics_are_those_of_the_runs(scraped: Scraped) -> None:
    found, name = values(scraped.text), scraped.home.name
    ours = [(metric, dict(labels), value) for (metric, labels), value in found.items() if ("stream", name) in labels]
    assert {labels["dagster_job"]: value for metric, labels, value in ours if metric == "runs"} == {
        "materialize_all": 1.0,
        "ingest_events": 1.0,
        "deliver_copy": 1.0,
    }
    steps = {labels["step"] for metric, labels, _ in ours if metric == "step_duration_seconds"}
    assert steps == {"raw_events", "validated_events", "sessionized_events", "sessions", "sessions__copy"}
    checks = {labels["check"]: value for metric, labels, value in ours if metric == "check_passed"}
    assert checks.keys() >= {"row_counts_reconcile", "every_event_once"}
    assert set(checks.values()) == {1.0}


def test_a_target_that_the_file_no_longer_has_has_no_metrics(scraped: Scraped, tmp_path: Path) -> None:
    home = scraped.home
    assert of(values(scraped.text), "deliveries_behind", home.name) == {"copy": 0.0}
    document = yaml.safe_load((home.folder / "streams" / "web.yaml").read_text())
    (tmp_path / "web.yaml").write_text(yaml.safe_dump({**document, "targets": {}}))
    found = values(generate_latest(registry(replace(home.settings, streams=(tmp_path,)), pytest.fail)).decode())
    assert of(found, "rows", home.name)
    assert of(found, "deliveries_behind", home.name) == of(found, "delivered_timestamp_seconds", home.name) == {}


def test_no_value_of_a_row_and_no_partition_is_in_the_metrics(scraped: Scraped) -> None:
    assert CANARY not in scraped.text
    assert DAY not in scraped.text
    labels = {label for (_, pairs) in values(scraped.text) for label, _ in pairs}
    assert labels <= ALLOWED_LABELS


def test_a_server_that_is_down_is_a_metric_and_one_sentence(settings: Settings) -> None:
    nowhere = f"postgresql://etl:s3cr3t@127.0.0.1:{free_port()}/none"
    told: list[str] = []
    down = registry(replace(settings, warehouse_url=nowhere, dagster_postgres_url=nowhere), told.append)
    first, again = generate_latest(down).decode(), generate_latest(down).decode()
    for scrape in (first, again):
        found = values(scrape)
        assert {name: found[name, ()] for name in ("ledger_up", "dagster_up", "streams_up")} == {
            "ledger_up": 0.0,
            "dagster_up": 0.0,
            "streams_up": 1.0,
        }
    assert [sentence.partition(" ")[0] for sentence in told] == [
        "sessions_platform_ledger_up",
        "sessions_platform_dagster_up",
    ]
    assert "s3cr3t" not in " ".join(told)


def test_a_database_in_which_dagster_has_made_no_tables_is_a_metric_and_one_sentence(
    settings: Settings, administrator: Database
) -> None:
    told: list[str] = []
    elsewhere = replace(settings, dagster_postgres_url=administrator.url)
    assert values(generate_latest(registry(elsewhere, told.append)).decode())["dagster_up", ()] == 0.0
    (sentence,) = told
    assert sentence.startswith("sessions_platform_dagster_up 0: Dagster has made no tables in ")
    assert ". Fix: " in sentence


def test_a_broken_stream_is_a_metric(home: Home) -> None:
    (home.folder / "streams" / "broken.yaml").write_text("name: broken_one\n")
    found = values(generate_latest(registry(home.settings, pytest.fail)).decode())
    assert of(found, "stream_usable", "broken_one") == {"": 0.0}
    assert of(found, "stream_usable", home.name) == {"": 1.0}


def test_names_follow_prometheus_and_every_metric_has_a_name_of_its_own() -> None:
    names = [metric.full_name for metric, _ in described()]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"sessions_platform_[a-z][a-z_]*", name)] == []
    assert [name for name in names if name.endswith(("_total", "_ms", "_minutes", "_at"))] == []
    assert {label for _, labels in described() for label in labels} <= ALLOWED_LABELS


def test_the_page_has_every_metric() -> None:
    page = PAGE.read_text()
    assert with_table(page, "metrics", metric_table()) == page, (
        "run python -m sessions_platform.orchestration.metrics docs/monitoring.md"
    )


def test_metrics_are_served_over_http_and_written_to_a_file(home: Home, tmp_path: Path) -> None:
    port = free_port()
    server, thread = start_http_server(port, "127.0.0.1", registry(home.settings, pytest.fail))
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert values(answer.read().decode())["ledger_up", ()] == 1.0
    server.shutdown()
    server.server_close()
    thread.join()
    file = tmp_path / "sessions.prom"
    assert CliRunner().invoke(app, ["metrics", "--to", str(file)]).exit_code == 0
    assert values(file.read_text())["ledger_up", ()] == 1.0
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".prom"] == ["streams"]
