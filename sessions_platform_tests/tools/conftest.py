from sessions_platform_tests.contexts import context, open_context

__all__ = ["context", "open_context"]
