"""Which values environment variables may have, and the errors for others."""

from pathlib import Path

import pytest

from sessions_platform.settings import BLOCK_BYTES, BUCKET_BYTES, DEMO_STREAMS, Settings, SettingsError

SIZES = {"SESSIONS_BLOCK_MB": ("block_bytes", BLOCK_BYTES), "SESSIONS_BUCKET_MB": ("bucket_bytes", BUCKET_BYTES)}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(("text", "size"), [("", None), ("1", 1 << 20), (" 64 ", 64 << 20)])
def test_a_size_is_a_number_of_mib(name: str, text: str, size: int | None) -> None:
    field, default = SIZES[name]
    assert getattr(Settings.from_environment({name: text}), field) == (size or default)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "16 MB", "1000001"])
def test_a_size_that_is_not_a_number_of_mib_is_reported_with_its_fix(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name}: .* is not a whole number from 1 to \d+\. Fix: "):
        Settings.from_environment({name: text})


@pytest.mark.parametrize(("name", "most"), [("SESSIONS_BLOCK_MB", 1024), ("SESSIONS_BUCKET_MB", 1_000_000)])
def test_the_largest_size_is_allowed_and_one_more_is_not(name: str, most: int) -> None:
    assert getattr(Settings.from_environment({name: str(most)}), SIZES[name][0]) == most * 1024 * 1024
    with pytest.raises(SettingsError, match=f"from 1 to {most}"):
        Settings.from_environment({name: str(most + 1)})


def test_the_default_sizes_are_16_and_32_mib() -> None:
    assert (BLOCK_BYTES, BUCKET_BYTES) == (16 * 1024 * 1024, 32 * 1024 * 1024)


def test_an_empty_environment_gives_the_defaults() -> None:
    home = Path.home() / ".sessions_platform"
    assert Settings.from_environment({}) == Settings(home, home / "lake", (DEMO_STREAMS,))
    assert Settings.from_environment({"SESSIONS_HOME": " ", "SESSIONS_WAREHOUSE_URL": ""}).home == home


def test_folders_are_read_from_the_environment() -> None:
    environment = {"SESSIONS_HOME": " /srv/home ", "SESSIONS_STREAMS": "~/streams"}
    assert Settings.from_environment(environment) == Settings(
        Path("/srv/home"), Path("/srv/home/lake"), (DEMO_STREAMS, Path.home() / "streams")
    )
    assert Settings.from_environment({**environment, "SESSIONS_LAKE": "/lake"}).lake == Path("/lake")


FOLDERS = ("SESSIONS_HOME", "SESSIONS_LAKE", "SESSIONS_STREAMS")


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("s3://bucket/lake", "'s3://bucket/lake' is a URL, and only folders are supported. Fix: name a folder."),
        ("lake", "'lake' is a relative path. Fix: write an absolute one."),
    ],
)
def test_a_folder_is_an_absolute_path(name: str, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({name: text})
    assert str(error.value) == f"{name}: {message}"


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
