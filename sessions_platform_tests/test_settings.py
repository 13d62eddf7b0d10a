"""What the environment may say."""

import pytest

from sessions_platform.settings import BLOCK_BYTES, Settings, SettingsError


@pytest.mark.parametrize(("text", "block_bytes"), [("", BLOCK_BYTES), ("1", 1 << 20), (" 64 ", 64 << 20)])
def test_the_block_is_so_many_mib(text: str, block_bytes: int) -> None:
    assert Settings.from_environment({"SESSIONS_BLOCK_MB": text}).block_bytes == block_bytes


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "16 MB", "1025"])
def test_a_block_that_is_no_number_of_mib_is_named_with_its_mend(text: str) -> None:
    with pytest.raises(SettingsError, match=r"SESSIONS_BLOCK_MB: .* is no whole number from 1 to 1024\. Mend: "):
        Settings.from_environment({"SESSIONS_BLOCK_MB": text})
