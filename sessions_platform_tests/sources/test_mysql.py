"""MySQL tables as a source, without a server: mistakes in the file, and what is not installed.

What is read of tables is tested on MariaDB itself, in `servers/test_mariadb.py`.
"""

import sys
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.errors import MissingExtraError
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.mysql.source import MysqlTable
from sessions_platform_tests.sources.stream_files import mistake
from sessions_platform_tests.streams import stream

HEAD = "  type: mysql\n  host: h\n  database: d\n  user: u\n  table: e\n"
SOURCE: dict[str, Any] = {"type": "mysql", "host": "127.0.0.1", "port": 1, "database": "d", "user": "u", "table": "e"}


@pytest.mark.parametrize(
    ("keys", "key", "says"),
    [
        ("  password: hunter2\n", "source.password", "a secret can't stand in the file"),
        ("  incremental: {}\n", "source.incremental", "it needs cursor, key and lag"),
        ("  incremental: {cursor: a, key: b}\n", "source.incremental", "cursor needs lag"),
        ("  incremental: {slot: a}\n", "source.incremental.slot", "the key is not known"),
        ("  sslmode: maybe\n", "source.sslmode", "verify-full"),
        ("  format: csv\n", "source.format", "ndjson"),
    ],
)
def test_a_mistake_in_the_file_is_reported(tmp_path: Path, keys: str, key: str, says: str) -> None:
    problem = mistake(tmp_path, HEAD + keys)
    assert problem.key == key
    assert says in str(problem)


def test_a_missing_extra_is_one_sentence_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(MissingExtraError, match=r"pymysql is not installed\. Fix: pip install .*mysql"):
        MysqlTable(stream(source=SOURCE)).find()


def test_a_server_that_does_not_answer_is_given_up() -> None:
    with pytest.raises(SourceRefusedError, match=r"mysql://127\.0\.0\.1:1/d/e can't be reached: .*tried for 500ms"):
        MysqlTable(stream(source={**SOURCE, "give_up_after": "500ms"})).find()
