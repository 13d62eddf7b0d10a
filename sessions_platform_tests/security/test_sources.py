"""No code unpickles or evaluates text, and what installs everything else is known by its hash."""

import ast
import re
import unicodedata
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "sessions_platform"
UNSAFE = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}


def mentions(source: str, names: set[str]) -> bool:
    """Whether one of the names may be one of the source's own; to search its text is quicker than to parse it."""
    text = unicodedata.normalize("NFKC", source)  # as Python does with names
    return re.search(rf"(?<!re\.)\b({'|'.join(names)})\b", text) is not None


def imported(source: str) -> set[str]:
    """The top-level modules that a source imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def called(source: str) -> set[str]:
    """The names that a source calls as functions."""
    calls = (node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {function.id for function in calls if isinstance(function, ast.Name)}


def test_no_module_unpickles_or_evaluates_text() -> None:
    texts = {file: file.read_text() for file in PACKAGE.rglob("*.py")}
    assert len(texts) > 50
    sources = {str(file): text for file, text in texts.items() if mentions(text, UNSAFE | UNSAFE_CALLS)}
    assert {file: found for file, text in sources.items() if (found := imported(text) & UNSAFE)} == {}
    assert {file: found for file, text in sources.items() if (found := called(text) & UNSAFE_CALLS)} == {}


@pytest.mark.parametrize("line", ["import pickle", "def f():\n    from cloudpickle import loads"])
def test_an_import_of_a_pickling_module_is_found(line: str) -> None:
    assert imported(line) & UNSAFE
    assert mentions(line, UNSAFE)


def test_uv_is_pinned_by_hash_and_is_the_only_thing_that_pip_installs() -> None:
    makefile = (PACKAGE.parent / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if "pip install" in line]
    assert len(installs) == 1
    assert "--require-hashes -r uv-requirements.txt" in installs[0]
    pinned = (PACKAGE.parent / "uv-requirements.txt").read_text()
    assert [line for line in pinned.splitlines() if line.startswith("uv==")]
    assert pinned.count("--hash=sha256:") > 10
