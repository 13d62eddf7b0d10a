"""The column of pages: what is said of a stream that has none, since entry_page and exit_page are then null.

They are read from the column `page_url`. A stream of another kind of events may do without it; one that has a page
under another name, as after somebody renamed the column, would have lost both in silence.
"""

from sessions_platform.contracts.stream import Stream

PAGE = "page_url"
_WORDS = frozenset(("url", "uri", "page", "path", "href", "screen", "location"))
_OF_SOMETHING_ELSE = frozenset(
    ("ref", "referrer", "referer", "refr", "image", "img", "avatar", "api", "file", "previous")
)


def likely_page(stream: Stream) -> str | None:
    """The column that is likely meant as the page, by its name or that of the field; None where page_url is there."""
    if PAGE in stream.columns:
        return None
    of_name = (name for name in stream.columns if _is_of_page(name))
    of_field = (
        name for name, column in stream.columns.items() if any(_is_of_page(_last(path)) for path in column.paths(name))
    )
    return next(of_name, None) or next(of_field, None)


def page_sentence(stream: Stream) -> str | None:
    """What is said of a stream without page_url, and how it is put right; None where it is there."""
    if PAGE in stream.columns:
        return None
    likely = likely_page(stream)
    fix = f"if {likely} is the page, call that column {PAGE}" if likely else f"call the column of the page {PAGE}"
    return (
        f"entry_page and exit_page are null, since they are read from a column {PAGE}, which there is not. Fix: {fix}."
    )


def _is_of_page(name: str) -> bool:
    words = set(name.lower().replace("-", "_").split("_"))
    return bool(words & _WORDS) and not words & _OF_SOMETHING_ELSE


def _last(path: str) -> str:
    return path.rpartition(".")[2].strip('"')
