"""Tests, streams, links, commands and keys that README and docs/ mention exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.cli import app
from sessions_platform.cli.rejected import rejected
from sessions_platform.contracts.json_schema import json_schema
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.stream_file import load_stream

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
STREAMS = PROJECT / "docs" / "streams.md"
PAGES = [README, PROJECT / "CHANGELOG.md", *sorted((PROJECT / "docs").rglob("*.md"))]

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def first_cells(page: Path) -> list[str]:
    """The first cell of each row of the page's tables."""
    return re.findall(r"^\| (.+?) \|", page.read_text(), re.MULTILINE)


def in_code(cells: list[str]) -> set[str]:
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_test_that_verifies_a_promise_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", README.read_text())
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


def test_every_explained_code_exists() -> None:
    rejections = STREAMS.read_text().partition("\n## Rejections\n")[2]
    explained = set(re.findall(r"^\| \[`(\w+)`\]\(rejections/\1\.md\) \|", rejections, re.MULTILINE))
    assert explained == {code.value for code in Code}
