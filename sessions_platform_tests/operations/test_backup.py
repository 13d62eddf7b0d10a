"""A backup that is taken while runs go on is restored elsewhere; one in another order is told.

The dump is one of PostgreSQL's own programs. Not here: Dagster's database, on which no state of a stream depends.
"""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sessions_platform.operations.clean_up import clean_up
from sessions_platform.operations.status import status
from sessions_platform.operations.verify import verify
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres import embedded
from sessions_platform.storage.postgres.embedded.account import server_account
from sessions_platform.storage.postgres.embedded.programs import find_programs
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.operations.lake_damage import DAYS, RUN, bring_up_to_date, landed, lines, tables

pytestmark = pytest.mark.slow


class Backup:
    """The two parts of a backup, and the home that they are restored into."""

    def __init__(self, context: StreamContext, settings: Settings, folder: Path) -> None:
        self.context, self.settings = context, settings
        self._dump, self._lake, self.home = folder / "dump.sql", folder / "lake", folder / "elsewhere"
        self._programs = find_programs(server_account())

    def save_database(self) -> None:
        ours = [f"--schema={name}" for name in ("sessions_platform", self.context.stream.name)]
        url = embedded.attach(self.settings.home).url()
        subprocess.run([self._programs / "pg_dump", url, f"--file={self._dump}", *ours], check=True)

    def save_lake(self) -> None:
        shutil.copytree(folder_of(self.context.lake), self._lake)

    def restore(self) -> StreamContext:
        """The stream in a new home."""
        shutil.copytree(self._lake, self.home / "lake")
        url = embedded.attach(self.home).url()
        command = [self._programs / "psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={self._dump}", url]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        own = replace(self.settings, home=self.home, lake=self.home / "lake")
        return StreamContext.open(self.context.stream, own)


@pytest.fixture
def backup(settings: Settings, tmp_path: Path) -> Backup:
    return Backup(landed(tmp_path / "landing", settings), settings, tmp_path)


@pytest.fixture(autouse=True)
def _server_of_the_restored_home(tmp_path: Path) -> Iterator[None]:
    yield
    embedded.attach(tmp_path / "elsewhere").close()


def run_on(backup: Backup, folder: Path) -> None:
    """What runs do meanwhile: a file that is new, one that has changed, and the nightly clean-up."""
    (folder / "landing" / DAYS[2] / "late.ndjson").write_bytes(lines(0, 40, "late"))
    (folder / "landing" / DAYS[0] / "a.ndjson").write_bytes(lines(0, 30, "changed"))
    bring_up_to_date(backup.context)
    clean_up(backup.context)


def assert_it_goes_on(restored: StreamContext, original: StreamContext) -> None:
    """What landed after the backup is read again, and all is as where nothing was lost."""
    bring_up_to_date(restored)
    assert verify(restored, RUN, deep=True).problems == []
    for table in ("sessions", "rejected_events"):
        assert tables(restored)[table] == tables(original)[table]
    shown, known = status(restored), status(original)
    assert (shown["sessions"], shown["hints"]) == (known["sessions"], known["hints"])


def test_a_dump_and_a_later_copy_of_the_lake_are_whole_though_runs_go_on(backup: Backup, tmp_path: Path) -> None:
    backup.save_database()
    run_on(backup, tmp_path)
    backup.save_lake()
    restored = backup.restore()
    assert verify(restored, RUN, deep=True).problems == []
    assert_it_goes_on(restored, backup.context)


def test_a_lake_that_was_copied_before_the_dump_lacks_files_and_verify_makes_them_anew(
    backup: Backup, tmp_path: Path
) -> None:
    backup.save_lake()
    run_on(backup, tmp_path)
    backup.save_database()
    restored = backup.restore()
    told = verify(restored, RUN).problems
    assert {problem["kind"] for problem in told} == {"missing"}
    assert {"raw_events", "events", "sessionized_events"} <= {problem["asset"] for problem in told}
    verify(restored, RUN, repairing=True)
    assert_it_goes_on(restored, backup.context)
