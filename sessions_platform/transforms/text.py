"""Text that a database, a log and a page can hold."""


def storable(text: str) -> str:
    """The text with U+0000 and halves of characters spelled out."""
    return text.replace("\0", "\\u0000").encode(errors="backslashreplace").decode()
