"""Reading a stream's file leaves the process as it is, since Dagster evaluates sensors in threads of one process.

Here belongs what other threads notice while a file is read. Not here: what reading finds (`test_stream_file.py`).
"""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from sessions_platform.contracts.polars_syntax import format_problem
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform_tests.streams import PLAIN

THREADS, READINGS = 3, 6
FORMATS = ["%+", "%A, %d %B %Y %H:%M:%S", "%d-%b-%y %I:%M:%S %p %z"]  # of which polars is asked


def test_a_warning_in_another_thread_is_no_error_while_streams_are_read(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    columns = {**PLAIN["columns"], "event_timestamp": {"from": "ts", "formats": FORMATS, "timezone": "Europe/Berlin"}}
    file.write_text(yaml.safe_dump({**PLAIN, "columns": columns}))
    over = threading.Event()

    def warn() -> int:
        """How often this thread could warn; as Dagster and its libraries do while they evaluate a sensor."""
        count = 0
        while not over.is_set():
            warnings.warn("of another matter", UserWarning, stacklevel=1)
            count += 1
        return count

    def read(_: int) -> str:
        return load_stream(file, tmp_path).name

    with warnings.catch_warnings():  # noqa: TID251
        warnings.simplefilter("ignore")  # noqa: TID251
        before = list(warnings.filters)
        with ThreadPoolExecutor(THREADS + 1) as threads:
            warning = threads.submit(warn)
            try:
                names = list(threads.map(read, range(THREADS * READINGS)))
            finally:
                over.set()
            assert warning.result() > 0
        assert names == ["web"] * (THREADS * READINGS)
        assert list(warnings.filters) == before


def test_a_format_that_polars_warns_of_is_refused_without_a_warning() -> None:
    with warnings.catch_warnings(record=True) as warned:  # noqa: TID251
        warnings.simplefilter("always")  # noqa: TID251
        problems = {fmt: format_problem(fmt) for fmt in ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S%f", "%Y-%m-%d%.f")}
    assert warned == []
    fraction = "%f reads the digits of a fraction as nanoseconds; %.f reads a fraction"
    assert list(problems.values()) == [fraction, fraction, None]
