"""docs/glossary.md names every table, column, check, metadata key, status key, job, sensor and schedule that there is.

What there is comes from a database that a small stream was loaded into, from the definitions of that stream, and
from what Dagster recorded of its runs; nothing is listed here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from sessions_platform.demo.events import land_week
from sessions_platform.operations.status import status
from sessions_platform.orchestration import resources
from sessions_platform.orchestration.assets import GROUP
from sessions_platform.orchestration.build import build
from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.settings import DEMO_STREAMS, Settings

GLOSSARY = Path(__file__).parents[1] / "docs" / "glossary.md"
NAME = "glossary"
DAYS = {"dagster/asset_partition_range_start": "2026-01-05", "dagster/asset_partition_range_end": "2026-01-06"}


@dataclass(frozen=True)
class Loaded:
    """The demo's stream, with a threshold that is exceeded and a field that is missing, once its jobs ran."""

    context: StreamContext
    definitions: dg.Definitions
    runs: list[dg.ExecuteInProcessResult]


@pytest.fixture(scope="module")
def loaded(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("glossary")
    land_week(folder / "landing", 1_000)
    demo = yaml.safe_load((DEMO_STREAMS / "web_shop.yaml").read_text())
    demo["name"], demo["rejected"] = NAME, {"warn_above": "0%", "keep_for": "400d"}
    demo["source"]["files"] = "landing/{partition:%Y-%m-%d}/*.ndjson.gz"
    demo["columns"]["never_sent"] = {"nullable": True}
    demo["columns"]["device"] = {"from": "anonymous_id", "nullable": True}
    demo["identity"] = {"anonymous_id": "device", "user_id": "user_id"}
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(demo, sort_keys=False))
    (folder / "broken.yaml").write_text("name: broken_one\n")
    with pytest.MonkeyPatch.context() as environment, dg.DagsterInstance.ephemeral() as instance:
        environment.setenv("SESSIONS_HOME", str(settings.home))
        environment.setenv("SESSIONS_STREAMS", str(folder))
        resources._contexts.cache_clear()
        own = Settings.from_environment()
        definitions = build(own)
        wanted = {
            "materialize_all": DAYS,
            "audit_sample": {},
            "audit_event_ids": {},
            "rebuild": {},
            "expire_rejected": {},
            "clean_up": {},
        }
        runs = [
            definitions.resolve_job_def(f"{NAME}__{job}").execute_in_process(instance=instance, tags=tags)
            for job, tags in wanted.items()
        ]
        (context,) = open_contexts(own, [NAME])
        yield Loaded(context, definitions, runs)
    resources._contexts.cache_clear()


def section(title: str) -> str:
    """The text under a heading, to the next one of its level."""
    level, _, _ = title.partition(" ")
    found = re.search(rf"^{re.escape(title)}\n(.*?)(?=^{level} |\Z)", GLOSSARY.read_text(), re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def in_code(text: str) -> set[str]:
    """What the text has between backticks, blocks of code left out."""
    return set(re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)))


def columns_of(context: StreamContext, schema: str) -> dict[str, set[str]]:
    rows = context.database.query(
        f"select table_name, column_name from information_schema.columns where table_schema = '{schema}'"
    )
    tables: dict[str, set[str]] = {}
    for row in rows:
        tables.setdefault(row["table_name"], set()).add(row["column_name"])
    return tables


def test_the_glossary_has_the_tables_and_columns_of_the_ledger(loaded: Loaded) -> None:
    described = {
        table: in_code("\n".join(re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)))
        for table, text in re.findall(
            r"^### `(\w+)`\n(.*?)(?=^### |\Z)", section("## The ledger"), re.MULTILINE | re.DOTALL
        )
    }
    assert described == columns_of(loaded.context, "sessions_platform")


def test_every_table_view_and_column_of_a_stream_is_named(loaded: Loaded) -> None:
    tables = columns_of(loaded.context, NAME)
    own = {"total_amount", "landing_page", "pages", "channel", "device"}  # session columns of the demo's file
    named = in_code(section("## A stream's tables"))
    assert tables.keys() - named == set()
    assert set().union(*tables.values()) - own - named == set()


def test_every_check_is_named(loaded: Loaded) -> None:
    checks = {key.name for key in loaded.definitions.resolve_asset_graph().asset_check_keys}
    assert "keeps_contract" in checks
    assert checks - in_code(section("## Checks")) == set()


def test_every_asset_job_sensor_and_schedule_is_named(loaded: Loaded) -> None:
    repository = loaded.definitions.get_repository_def()
    jobs = {job.name for job in repository.get_all_jobs() if not job.name.startswith("__")}
    sensors = {sensor.name for sensor in repository.sensor_defs}
    schedules = {schedule.name for schedule in repository.schedule_defs}
    ours = (f"{NAME}__", "broken_one__")
    own = {name.partition("__")[2] for name in jobs | sensors | schedules if name.startswith(ours)}
    assert {"rebuild", "new_files", "expire_nightly", "stream_file"} <= own
    assert own - in_code(section("## Jobs, sensors and schedules")) == set()
    keys = loaded.definitions.resolve_asset_graph().get_all_asset_keys()
    assets = {key.path[-1] for key in keys if len(key.path) > 1}  # the other one is the source: [STREAM]
    assert assets - in_code(section("## Assets and metadata")) == set()


def test_all_assets_are_in_one_group_since_the_lineage_page_opens_with_several_closed(loaded: Loaded) -> None:
    graph = loaded.definitions.resolve_asset_graph()
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {GROUP}


def test_every_metadata_key_is_named(loaded: Loaded) -> None:
    keys = {
        re.sub(r"^rejected_as/.*", "rejected_as/CODE", key) for run in loaded.runs for key in keys_of(metadata_of(run))
    }
    assert {"dagster/row_count", "rejected_as/CODE", "drift", "exceeded", "ids", "inserted"} <= keys
    assert keys - in_code(GLOSSARY.read_text()) == set()


def metadata_of(run: dg.ExecuteInProcessResult) -> Iterator[Mapping[str, dg.MetadataValue]]:
    """What a run reported of assets, checks and outputs."""
    for event in run.all_events:
        if event.is_step_materialization:
            yield event.materialization.metadata
        elif event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            yield event.asset_check_evaluation_data.metadata
        elif event.is_successful_output:
            yield event.step_output_data.metadata


def keys_of(found: Iterable[Mapping[str, dg.MetadataValue]]) -> Iterator[str]:
    """The keys, and the columns of metadata that is a table."""
    for metadata in found:
        for key, value in metadata.items():
            yield key
            if isinstance(value, dg.TableMetadataValue):
                yield from (column.name for column in value.schema.columns)


def test_every_key_of_the_status_document_is_named(loaded: Loaded) -> None:
    document: dict[str, Any] = status(loaded.context)
    assert (document.keys() | document["pending"].keys()) - in_code(section("## The status document")) == set()
