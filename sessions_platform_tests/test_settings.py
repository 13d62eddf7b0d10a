"""What the environment may say."""

import pytest

from sessions_platform.settings import BLOCK_BYTES, BUCKET_BYTES, Settings, SettingsError

SIZES = {"SESSIONS_BLOCK_MB": ("block_bytes", BLOCK_BYTES), "SESSIONS_BUCKET_MB": ("bucket_bytes", BUCKET_BYTES)}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize(("text", "size"), [("", None), ("1", 1 << 20), (" 64 ", 64 << 20)])
def test_a_size_is_so_many_mib(name: str, text: str, size: int | None) -> None:
    field, default = SIZES[name]
    assert getattr(Settings.from_environment({name: text}), field) == (size or default)


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "16 MB", "1000001"])
def test_a_size_that_is_no_number_of_mib_is_named_with_its_mend(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name}: .* is no whole number from 1 to \d+\. Fix: "):
        Settings.from_environment({name: text})
