"""Which values environment variables may have, and the errors for others."""

import os
from pathlib import Path

import pytest

from sessions_platform.memory_budget import MIB, MemoryBudget, available_bytes
from sessions_platform.settings import BLOCK_BYTES, DEMO_LANDING, DEMO_STREAMS, Settings, SettingsError, make_home

BLOCK = "SESSIONS_BLOCK_MB"


@pytest.mark.parametrize(("text", "size"), [("", BLOCK_BYTES), ("1", MIB), (" 64 ", 64 * MIB), ("1024", 1024 * MIB)])
def test_a_block_is_a_number_of_mib(text: str, size: int) -> None:
    assert Settings.from_environment({BLOCK: text}).block_bytes == size


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "16 MB", "1025"])
def test_a_block_that_is_not_a_number_of_mib_is_reported_with_its_fix(text: str) -> None:
    with pytest.raises(SettingsError, match=rf"{BLOCK}: .* is not a whole number from 1 to 1024\. Fix: "):
        Settings.from_environment({BLOCK: text})


@pytest.mark.parametrize(
    ("text", "size"),
    [("1GB", 10**9), (" 4 GB ", 4 * 10**9), ("1.5gib", 1536 * MIB), ("16MiB", 16 * MIB), ("2TB", 2 * 10**12)],
)
def test_the_memory_of_a_run_is_a_size_with_its_unit(text: str, size: int) -> None:
    memory = Settings.from_environment({"SESSIONS_MEMORY": text}).memory
    assert memory == MemoryBudget.of(size)
    assert 0 < memory.bucket < memory.at_once < size


@pytest.mark.parametrize("size", [16 * MIB, 512 * MIB, 10**9, 6 * 10**9, 10**12])
def test_rows_that_are_worked_on_at_once_leave_room_for_what_is_made_of_them(size: int) -> None:
    assert size // 4 <= MemoryBudget.of(size).at_once <= size * 5 // 8


@pytest.mark.parametrize("text", ["1", "0GB", "-1GB", "15MiB", "1 XB", "lots", "1e3GB", "1,5GB", "²GB"])
def test_memory_that_is_no_size_is_reported_with_its_fix(text: str) -> None:
    with pytest.raises(SettingsError, match=r"SESSIONS_MEMORY: .* is not a size of 16MiB or more\. Fix: write one"):
        Settings.from_environment({"SESSIONS_MEMORY": text})


def test_the_size_of_buckets_that_was_set_before_is_reported_with_its_fix() -> None:
    with pytest.raises(SettingsError, match=r"SESSIONS_BUCKET_MB: it no longer exists; .* Fix: remove it, and set SES"):
        Settings.from_environment({"SESSIONS_BUCKET_MB": "32"})
    assert Settings.from_environment({"SESSIONS_BUCKET_MB": " "}).memory == MemoryBudget.default()


@pytest.mark.parametrize(
    "spark", ["local", "local[*]", "local[2]", "local-cluster[2,1,1024]", "spark://a:1,b:2", "yarn"]
)
def test_an_engine_and_what_spark_runs_on_are_stated(spark: str) -> None:
    settings = Settings.from_environment({"SESSIONS_ENGINE": "spark", "SESSIONS_SPARK": spark})
    assert (settings.engine, settings.spark) == ("spark", spark)
    assert Settings.from_environment({}).engine == "polars"


@pytest.mark.parametrize(("name", "text"), [("ENGINE", "flink"), ("SPARK", "http://host"), ("SPARK", "local[0]")])
def test_an_engine_that_is_none_is_reported_with_its_fix(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"SESSIONS_{name}: .*\. Fix: write "):
        Settings.from_environment({f"SESSIONS_{name}": text})


CGROUPS = {
    "the second version": ("0::/a/b", {"a/b/memory.max": "max\n", "a/memory.max": "4194304\n", "memory.max": "max"}),
    "its root in a container": ("0::/outside", {"memory.max": "4194304"}),
    "the first version": ("5:cpu,memory:/a", {"memory/a/memory.limit_in_bytes": "4194304", "memory.max": "1"}),
    "both versions": ("3:memory:/a\n0::/a", {"memory/memory.limit_in_bytes": "4194304", "a/memory.max": "max"}),
    "other controllers": ("3:memory:/\n2:cpu:/x", {"memory/memory.limit_in_bytes": "4194304", "x/memory.max": "1"}),
}


@pytest.mark.parametrize(("own", "files"), CGROUPS.values(), ids=CGROUPS)
def test_memory_is_what_the_control_groups_of_the_process_leave(
    tmp_path: Path, own: str, files: dict[str, str]
) -> None:
    (tmp_path / "own").write_text(own + "\n")
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_bytes(tmp_path, tmp_path / "own") == 4 * MIB


def test_without_a_limit_memory_is_the_machines(tmp_path: Path) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    (tmp_path / "memory.max").write_text("9223372036854771712")  # what the first version has for none
    (tmp_path / "own").write_text("0::/")
    assert available_bytes(tmp_path, tmp_path / "own") == machine
    assert available_bytes(tmp_path, tmp_path / "none") == machine
    assert MemoryBudget.default() == MemoryBudget.of(available_bytes() // 4)


def test_an_empty_environment_gives_the_defaults() -> None:
    home = Path.home() / ".sessions_platform"
    assert Settings.from_environment({}) == Settings(home, home / "lake", (DEMO_STREAMS,))
    assert Settings.from_environment({"SESSIONS_HOME": " ", "SESSIONS_WAREHOUSE_URL": ""}).home == home


def test_folders_are_read_from_the_environment() -> None:
    environment = {"SESSIONS_HOME": " /srv/home ", "SESSIONS_STREAMS": "~/streams"}
    assert Settings.from_environment(environment) == Settings(
        Path("/srv/home"), Path("/srv/home/lake"), (Path.home() / "streams",)
    )
    assert Settings.from_environment({**environment, "SESSIONS_LAKE": "/lake"}).lake == Path("/lake")


def test_the_demos_stream_is_there_without_others_and_where_the_demo_was_run(tmp_path: Path) -> None:
    environment = {"SESSIONS_HOME": str(tmp_path / "home")}
    with_own = {**environment, "SESSIONS_STREAMS": str(tmp_path / "streams")}
    assert Settings.from_environment(environment).streams == (DEMO_STREAMS,)
    assert Settings.from_environment(with_own).streams == (tmp_path / "streams",)
    (tmp_path / "home" / DEMO_LANDING).mkdir(parents=True)
    assert Settings.from_environment(with_own).streams == (DEMO_STREAMS, tmp_path / "streams")


def test_a_home_that_cant_be_looked_at_is_told_where_it_is_used(tmp_path: Path) -> None:
    home = tmp_path / ("a" * 300)  # no folder has such a name; root may look into all others
    own = {"SESSIONS_HOME": str(home), "SESSIONS_STREAMS": str(tmp_path)}
    assert Settings.from_environment(own).streams == (tmp_path,)
    with pytest.raises(SettingsError, match=r"SESSIONS_HOME: .* can't be made: File name too long\. Fix: "):
        make_home(home)


@pytest.mark.parametrize("name", ["SESSIONS_HOME", "SESSIONS_LAKE", "SESSIONS_STREAMS"])
def test_a_folder_is_an_absolute_path(name: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({name: "lake"})
    assert str(error.value) == f"{name}: 'lake' is a relative path. Fix: write an absolute one."


@pytest.mark.parametrize("name", ["SESSIONS_HOME", "SESSIONS_STREAMS", "SESSIONS_SCRATCH"])
def test_no_other_folder_than_the_lake_may_be_in_an_object_store(name: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({name: "s3://bucket/lake"})
    assert str(error.value).endswith("'s3://bucket/lake' is a URL, and only folders are supported. Fix: name a folder.")


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/a/lake", "gs://bucket/lake", "az://container/lake-1.0"])
def test_the_lake_may_be_in_an_object_store(url: str) -> None:
    settings = Settings.from_environment({"SESSIONS_HOME": "/srv/home", "SESSIONS_LAKE": f" {url}/ "})
    assert (settings.lake_url, settings.lake) == (url, Path("/srv/home/lake"))


@pytest.mark.parametrize(
    "url",
    [
        "s3://", "s3:///lake", "s3://bucket//lake", "s3://bucket/../lake", "s3://bucket/a/.", "s3://bucket/a b",
        "s3://key:secret@bucket/lake", "https://secret/lake", "s3://bucket/lake?key=secret", "s3://bucket/a%20b",
    ],
)  # fmt: skip
def test_another_url_is_no_lake_and_is_not_shown(url: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({"SESSIONS_LAKE": url})
    assert str(error.value).startswith("SESSIONS_LAKE: it is no URL of a lake. Fix: write s3://BUCKET/PREFIX")
    assert "secret" not in str(error.value)


URLS = {"SESSIONS_WAREHOUSE_URL": "warehouse_url", "DAGSTER_POSTGRES_URL": "dagster_postgres_url"}


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_a_postgresql_url_may_be_spelled_as_sqlalchemy_does(name: str, scheme: str) -> None:
    settings = Settings.from_environment({name: f" {scheme}://ann:secret@host/postgres://x "})
    assert getattr(settings, URLS[name]) == "postgresql://ann:secret@host/postgres://x"


@pytest.mark.parametrize("name", URLS)
def test_a_password_is_in_no_message_and_no_repr(name: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({name: "mysql://ann:secret@host/database"})
    assert str(error.value) == f"{name}: it is not a PostgreSQL URL. Fix: write postgresql://user@host/database."
    assert "secret" not in repr(Settings.from_environment({name: "postgresql://ann:secret@host/database"}))
