"""URLs of Redis that its client does not take are sentences, without a server and without the password."""

import polars as pl
import pytest

from sessions_platform.contracts.targets import RedisTarget
from sessions_platform.storage.warehouses.base import TargetError
from sessions_platform.storage.warehouses.redis_hashes import RedisHashes
from sessions_platform_tests.streams import stream


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3cr3t", "what REDIS_URL has is no URL"),
        ("redis://:s3cr3t@127.0.0.1:1/0?foo=1", "what REDIS_URL has is no URL"),
        ("redis://:s3cr3t@127.0.0.1:1/0?retry=foo", "what REDIS_URL has is no URL"),
        ("redis://:s3cr3t@127.0.0.1:1/0?max_connections=many", "what REDIS_URL has is no URL"),
        ("redis://:s3cr3t@127.0.0.1:1/0?protocol=9", "the server says 'protocol must be"),
        ("redis://:s3cr3t@127.0.0.1:1/0?client_name=shop", r"the server says .*refused.*Fix: start the server"),
        ("rediss://:s3cr3t@127.0.0.1:1/0?ssl_cert_reqs=required", r"the server says .*refused"),
    ],
)
def test_a_url_is_taken_or_refused_by_a_sentence(url: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    config = RedisTarget.model_validate({"url": {"env": "REDIS_URL"}, "prefix": "shop"})
    columns = {"session_partition": pl.String(), "session_id": pl.String()}
    with pytest.raises(TargetError, match=reason) as refused:
        RedisHashes("redis", config, stream(), {"sessions": columns}).token()
    assert "s3cr3t" not in str(refused.value)
