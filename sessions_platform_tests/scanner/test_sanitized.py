"""The scanner reads no byte outside of its buffers, and no value from outside of its row: under ASan and UBSan."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from sessions_platform.scanner import build
from sessions_platform_tests.scanner.corpus import TEXTS

pytestmark = pytest.mark.slow

HARNESS = Path(__file__).with_name("harness.c")
SANITIZED = ("-std=c11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
SECONDS = 30
FORMS = {"vectors": (), "portable": ("-DPORTABLE",)}


def compiled(folder: Path, source: str, *flags: str, name: str = "scanner.c") -> Path:
    """The harness, with one of the scanner's sources. Skips where there is no compiler that has the sanitizers."""
    if "-DPORTABLE" not in flags and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"on {platform.machine()} the scanner has no vectors")
    (folder / name).write_text(source)
    program = folder / "harness"
    compiler = next((path for name in ("clang", "gcc", "cc") if (path := shutil.which(name))), None)
    if compiler is None:
        pytest.skip(build.NO_COMPILER)
    command = [compiler, *SANITIZED, *flags, f"-I{folder}", build._INCLUDE, str(HARNESS), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and ("sanitize" in done.stderr or "asan" in done.stderr):
        pytest.skip(f"{compiler} has no sanitizers: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return program


def fuzzed(program: Path, folder: Path, seconds: int, seed: int = 1) -> subprocess.CompletedProcess[str]:
    files = []
    for number, text in enumerate(TEXTS):
        files.append(folder / f"text-{number}")
        files[-1].write_bytes(text)
    command = [str(program), str(seed), str(seconds), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


@pytest.mark.parametrize("form", FORMS)
def test_no_byte_is_read_outside_of_the_buffers(form: str, tmp_path: Path) -> None:
    program = compiled(tmp_path, build.SOURCE.read_text(), *FORMS[form])
    done = fuzzed(program, tmp_path, SECONDS)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[0]) > 1000


DEFECTS = {
    "a vector is read beyond the buffer": ("row->limit - at >= 16", "row->limit - at >= 1", "vectors"),
    "a word is read beyond the buffer": ("row->limit - at >= 8", "row->limit - at >= 1", "portable"),
    "a long value is somewhere else": ("row->offset + (uint32_t)", "row->offset + 1 + (uint32_t)", "vectors"),
    "a view out of its buffer is followed": (
        "(int64_t)row->offset + row->length > in->sizes[row->buffer]",
        "0",
        "vectors",
    ),
    "a buffer that is not there is read": ("row->buffer >= in->count || ", "", "vectors"),
    "a row that is left out has values": ("      read.seen = 0;\n", "", "vectors"),
    "a gap is not written": (
        "write_row(&read, fields, in, number, row.at, to);",
        "if (shape) write_row(&read, fields, in, number, row.at, to);",
        "vectors",
    ),
    "a number goes on behind its row": (
        "while (row->at < row->end && *row->at >= '0'",
        "while (*row->at >= '0'",
        "vectors",
    ),
}

OF_OTHERS = {
    "a number has more digits than there is room for": (build.MESSAGES, "MOST_DIGITS = 20", "MOST_DIGITS = 18"),
    "a record is taken for the one before": (build.MESSAGES, "    records += sizes[row];\n", ""),
    "a view leads behind its record": (build.MESSAGES, "0, (uint32_t)(to - start)", "0, (uint32_t)(to - start + 1)"),
    "a short text is read as two words": (build.LOOKUPS, "if (length < WORD)", "if (length < 1)"),
    "a text is taken for another of its hash": (build.LOOKUPS, " && is_at(in, row, *slot)", ""),
    "texts are compared by their beginnings": (build.LOOKUPS, "start, text->length)", "start, text->length / 2)"),
    "there is room for one text too few": (build.LOOKUPS, "if (in->count == in->room)", "if (in->count > in->room)"),
    "a new text is kept as the one before": (build.LOOKUPS, "= (int32_t)row;", "= (int32_t)row - (row > 0);"),
    "a text that is nowhere is found": (build.LOOKUPS, "if (!start) return 0;", "if (!start) continue;"),
}


@pytest.mark.parametrize("defect", OF_OTHERS)
def test_the_harness_finds_a_planted_defect_of_other_sources(defect: str, tmp_path: Path) -> None:
    file, old, new = OF_OTHERS[defect]
    source = file.read_text()
    assert old in source
    program = compiled(tmp_path, source.replace(old, new), name=file.name)
    assert fuzzed(program, tmp_path, 10).returncode != 0


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_harness_finds_a_planted_defect(defect: str, tmp_path: Path) -> None:
    old, new, form = DEFECTS[defect]
    source = build.SOURCE.read_text()
    assert old in source
    program = compiled(tmp_path, source.replace(old, new), *FORMS[form])
    assert fuzzed(program, tmp_path, 10).returncode != 0
