import pytest

# so that its assertions, too, show the compared values
pytest.register_assert_rewrite(f"{__name__}.comparison")
