import pytest

# so that its assertions, too, say what they have seen
pytest.register_assert_rewrite(f"{__name__}.pair")
