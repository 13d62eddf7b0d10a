"""Text that PostgreSQL, JSON, logs and web pages can store.

Here: how text from outside is made storable where it is shown (field names, quoted values). In events such text is not
changed: it is rejected as `bad_text` (``transforms.parse``).
"""


def storable(text: str) -> str:
    """The text with U+0000 and lone surrogates written as escapes, such as ``\\u0000``."""
    return text.replace("\0", "\\u0000").encode(errors="backslashreplace").decode()
