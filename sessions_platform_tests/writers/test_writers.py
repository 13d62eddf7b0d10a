"""Each value of files that other people's writers made is read as its own writer reads it back."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sessions_platform.sources.formats.avro.rows import avro_rows
from sessions_platform.sources.formats.typed.arrow_and_orc import orc_rows
from sessions_platform.sources.formats.typed.parquet import parquet_rows
from sessions_platform_tests.typed_rows import payloads_in
from sessions_platform_tests.writers.make_files import FILES, MAKERS, PROGRAMS, SPARK, UnavailableError

READERS = {".parquet": parquet_rows, ".orc": orc_rows, ".avro": avro_rows}
DOCUMENT = FILES.parents[2] / "docs" / "formats.md"


def text_of_nanoseconds(value: int) -> str:
    seconds, fraction = divmod(value, 10**9)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".")


# What is in a file in another form than its writer gives it back: of which files and columns, and how the one becomes
# the other. docs/formats.md says why.
DIFFERENT: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("parquet-java-*", "at_ns", lambda value: text_of_nanoseconds(value) + "+00:00"),
    ("parquet-java-*", "local_ns", text_of_nanoseconds),
    ("spark.orc", "at", lambda text: text + "+00:00"),
    ("spark.orc", "local", lambda value: text_of_nanoseconds(value * 1000)),
    *[("pyarrow-int96.parquet", name, lambda text: text.removesuffix("+00:00")) for name in ("at", "local", "ms")],
    *[(name, "doc", json.loads) for name in ("hyparquet-*", "parquetjs-*", "dsnp-*")],
    *[("dsnp-*", name, lambda value: value or None) for name in ("tags", "items")],
]


def as_its_writer_has_it(file: str, row: dict[str, Any]) -> dict[str, Any]:
    changed = {name: change(row[name]) for pattern, name, change in DIFFERENT if fnmatch(file, pattern) and name in row}
    return {**row, **changed}


def assert_read_as_its_writer_reads_it(path: Path) -> None:
    expected = json.loads(path.with_name(f"{path.name}.json").read_text())
    with path.open("rb") as handle:
        rows = [json.loads(row) for block in READERS[path.suffix](handle, 1 << 20, 1000) for row in payloads_in(block)]
    found = [as_its_writer_has_it(path.name, row) for row in rows]
    assert found == expected
    assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)  # True is not 1


@pytest.mark.parametrize(
    "path", [path for path in sorted(FILES.iterdir()) if path.suffix in READERS], ids=lambda path: path.name
)
def test_a_file_is_read_as_its_own_writer_reads_it(path: Path) -> None:
    assert_read_as_its_writer_reads_it(path)


@pytest.mark.slow
@pytest.mark.parametrize("maker", MAKERS)
def test_files_that_are_made_anew_are_the_same_ones_and_are_read_alike(maker: str, tmp_path: Path) -> None:
    if maker == "spark" and not os.environ.get("SESSIONS_TEST_SPARK"):
        pytest.skip("PyPI has Spark as 450 MB of source, which takes minutes to install: set SESSIONS_TEST_SPARK=1")
    try:
        MAKERS[maker](tmp_path)
    except UnavailableError as missing:
        pytest.skip(str(missing))
    made = sorted(path for path in tmp_path.iterdir() if path.suffix in READERS)
    assert made
    for path in made:
        assert_read_as_its_writer_reads_it(path)
        recorded = FILES / f"{path.name}.json"
        assert json.loads(path.with_name(recorded.name).read_text()) == json.loads(recorded.read_text())


def test_the_documentation_names_the_versions_that_made_the_files() -> None:
    document = DOCUMENT.read_text()
    versions = json.loads((PROGRAMS / "js" / "package.json").read_text())["dependencies"]
    pom = (PROGRAMS / "java" / "pom.xml").read_text()
    for library in ("parquet-avro", "avro"):
        versions[library] = pom.partition(f"<artifactId>{library}</artifactId><version>")[2].partition("<")[0]
    for file, library in (("pyarrow-v1", "pyarrow"), ("duckdb-v1-snappy", "DuckDB")):
        created_by = pq.read_metadata(FILES / f"{file}.parquet").created_by
        versions[library] = created_by.partition("version ")[2].split()[0].removeprefix("v")
    for library, version in {**versions, "Spark": SPARK}.items():
        assert f"{library} {version}" in document
