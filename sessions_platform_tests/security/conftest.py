from sessions_platform_tests.faults.conftest import trials

__all__ = ["trials"]
