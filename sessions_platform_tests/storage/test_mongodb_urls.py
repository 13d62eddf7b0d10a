"""What is wrong with a URL of MongoDB whose host is found by DNS is a sentence without the password."""

import polars as pl
import pytest

from sessions_platform.contracts.targets import MongodbTarget
from sessions_platform.storage.warehouses.base import TargetError
from sessions_platform.storage.warehouses.mongodb_documents import MongodbDocuments
from sessions_platform_tests.streams import stream


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ("shop.invalid/?connectTimeoutMS=100", r"the host of mongodb\+srv:// in MONGODB_URL can't be resolved"),
        ("shop.invalid:27017/", "what MONGODB_URL has is no URL of MongoDB"),
        ("shop.invalid/?foo=1", "what MONGODB_URL has is no URL of MongoDB"),
    ],
)
def test_a_host_that_is_not_found_is_not_told_as_a_wrong_url(
    rest: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URL", f"mongodb+srv://loader:s3cr3t@{rest}")
    config = MongodbTarget.model_validate({"url": {"env": "MONGODB_URL"}, "database": "shop"})
    columns = {"session_partition": pl.String(), "session_id": pl.String()}
    with pytest.raises(TargetError, match=reason) as refused:
        MongodbDocuments("mongodb", config, stream(), {"sessions": columns}).token()
    assert "s3cr3t" not in str(refused.value)
