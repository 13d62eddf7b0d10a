"""Tests, streams, links, commands and keys that README and docs/ mention exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from sessions_platform.cli import app
from sessions_platform.cli.rejected import rejected
from sessions_platform.contracts.enrichments import ENRICHMENTS
from sessions_platform.contracts.http_source import Auth, HttpSource, Pages, Since
from sessions_platform.contracts.json_schema import json_schema
from sessions_platform.contracts.kafka_source import KafkaSource
from sessions_platform.contracts.kinesis_source import KinesisSource
from sessions_platform.contracts.mysql_source import MysqlSource
from sessions_platform.contracts.object_store import StoreOptions
from sessions_platform.contracts.postgres_source import Incremental, PostgresSource
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.source_config import SourceConfig
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.contracts.targets import TARGET_TYPES

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
STREAMS = PROJECT / "docs" / "streams.md"
SOURCES = PROJECT / "docs" / "sources.md"
TARGETS = PROJECT / "docs" / "targets.md"
PAGES = [README, PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").rglob("*.md"))]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def first_cells(page: Path) -> list[str]:
    """The first cell of each row of the page's tables."""
    return re.findall(r"^\| (.+?) \|", page.read_text(), re.MULTILINE)


def in_code(cells: list[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize(
    "page",
    [README, PROJECT / "docs" / "sources-compared.md", PROJECT / "docs" / "attribution.md"],
    ids=lambda page: page.name,
)
def test_every_test_that_verifies_a_promise_exists(page: Path) -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", page.read_text())
    missing = [
        f"{path}::{name}" for path, name in named if f"def {name}(" not in (Path(__file__).parent / path).read_text()
    ]
    assert named
    assert missing == []


@every_page
def test_every_yaml_example_is_a_stream(page: Path, tmp_path: Path) -> None:
    for number, example in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)):
        file = tmp_path / f"{number}.yaml"
        file.write_text(example)
        load_stream(file, tmp_path)


@every_page
def test_every_link_has_a_target(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    local = [link.partition("#")[0] or page.name for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []
    docs = PROJECT / "docs"
    if docs in page.parents:  # what lies elsewhere is not in the site that is made of them
        assert [link for link in local if docs not in (page.parent / link).resolve().parents] == []


@every_page
def test_every_module_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py|[a-z_]+/))`", page.read_text())
    roots = [PROJECT, PROJECT / "sessions_platform", Path(__file__).parent]
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


def test_the_readme_lists_every_command() -> None:
    listed = set(re.findall(r"^\| `sessions-platform ([\w-]+)", README.read_text(), re.MULTILINE))
    assert listed == set(app.commands)


def test_the_readme_and_the_page_of_the_queue_list_its_commands() -> None:
    real = {command.name for command in rejected.registered_commands}
    (listed,) = re.findall(r"^\| `sessions-platform rejected ([\w\\|]+)`", README.read_text(), re.MULTILINE)
    assert set(listed.split("\\|")) == real
    assert set(re.findall(r"`rejected (\w+)", (PROJECT / "docs" / "dead-letters.md").read_text())) == real


MODELS = ("FilesSource", "Landing", "Column", "Reference", "SessionRule", "Rejected", "Retained")


def test_every_key_of_a_stream_is_explained() -> None:
    schema: dict[str, Any] = json.loads(json_schema())
    models = [schema, *(schema["$defs"][name] for name in MODELS)]
    keys = {key for model in models for key in model["properties"]} - {"path", "home"}
    assert keys - in_code(first_cells(STREAMS)) == set()


@pytest.mark.parametrize(
    "model",
    [
        PostgresSource,
        Incremental,
        MysqlSource,
        HttpSource,
        Auth,
        Pages,
        Since,
        KafkaSource,
        KinesisSource,
        StoreOptions,
    ],
    ids=lambda model: model.__name__,
)
def test_every_key_of_a_server_is_explained(model: type[BaseModel]) -> None:
    of_every_source = set(SourceConfig.model_fields)
    keys = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", SOURCES.read_text()))))
    assert set(model.model_fields) - of_every_source - keys == set()


def test_every_key_and_column_of_an_enrichment_is_explained() -> None:
    explained = set(re.findall(r"`(\w+)`", (PROJECT / "docs" / "enrichment.md").read_text()))
    for name, model in ENRICHMENTS.items():
        keys = {field.alias or key for key, field in model.model_fields.items()}
        assert {name, *keys, *model.adds} - explained == set()


@pytest.mark.parametrize("kind", TARGET_TYPES)
def test_every_key_of_a_target_is_explained(kind: str) -> None:
    text = TARGETS.read_text()
    general = text.partition("\n## What is promised")[0]
    own = re.split(r"^## ", text.partition(f"\n## {kind}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    keys = in_code(re.findall(r"^\| (`[^|]+) \|", general + own, re.MULTILINE))
    fields = TARGET_TYPES[kind].model_fields.items()
    assert {field.alias or key for key, field in fields} == keys


def test_every_explained_code_exists() -> None:
    rejections = STREAMS.read_text().partition("\n## Rejections\n")[2]
    explained = set(re.findall(r"^\| \[`(\w+)`\]\(rejections/\1\.md\) \|", rejections, re.MULTILINE))
    assert explained == {code.value for code in Code}
