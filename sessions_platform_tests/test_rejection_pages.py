"""Each code has a page in docs/rejections, and its example gives the page's result, from a file to the warehouse."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.publish import publish
from sessions_platform.pipeline.validate import validate_partition
from sessions_platform.settings import Settings

PAGES = Path(__file__).parents[1] / "docs" / "rejections"
INDEX = PAGES / "README.md"

_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_numbers = itertools.count()


def page_of(code: Code) -> str:
    return (PAGES / f"{code.value}.md").read_text(encoding="utf-8")


def result_of_example(page: str, folder: Path, settings: Settings) -> tuple[str, list[dict[str, Any]]]:
    """The result that the page states for its example, and the rejected rows in the warehouse."""
    blocks = {name or kind: content for kind, name, content in _BLOCK.findall(page)}
    for name, content in blocks.items():
        if "." in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
    (folder / "stream.yaml").write_text(blocks["yaml"], encoding="utf-8")
    stream = load_stream(folder / "stream.yaml", folder).model_copy(update={"name": f"page{next(_numbers)}"})
    context = StreamContext.open(stream, replace(settings, lake=folder / "lake"))
    (partition,) = {file.landing_partition for file in context.source.find() if file.landing_partition}
    ingest(context, [partition], "a run")
    publish(context, validate_partition(context, partition, context.raw_events([partition])), "a run")
    query = f"select position, reasons from {stream.name}.rejected_events order by position"
    return blocks["json"], context.database.query(query)


@pytest.mark.parametrize("code", Code)
def test_the_example_of_a_page_gives_the_stated_result(code: Code, tmp_path: Path, settings: Settings) -> None:
    stated, rejected = result_of_example(page_of(code), tmp_path, settings)
    assert json.loads(stated) == rejected
    assert code in {reason["code"] for row in rejected for reason in row["reasons"]}


@pytest.mark.parametrize("code", Code)
def test_a_page_says_how_to_fix_it(code: Code) -> None:
    page = page_of(code)
    assert page.startswith(f"# `{code.value}`\n")
    assert re.findall(r"^- .{20,}", page.partition("\n## Fix\n")[2], re.MULTILINE)


def test_the_index_leads_to_every_page_and_to_no_other() -> None:
    linked = re.findall(r"\[`(\w+)`\]\((\w+)\.md\)", INDEX.read_text(encoding="utf-8"))
    assert [(code.value, code.value) for code in Code] == linked
    assert {page.stem for page in PAGES.glob("*.md")} == {*Code, "README"}
