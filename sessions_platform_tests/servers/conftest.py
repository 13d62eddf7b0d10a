"""What tests of real servers share with those of sources in memory."""

from sessions_platform_tests.sources.conftest import on_day_one

__all__ = ["on_day_one"]
