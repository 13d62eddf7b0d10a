"""The timestamp formats of a stream's file, in plain Python.

A format is a ``strftime`` pattern, ``%+`` (ISO 8601 with an offset) or the name of an epoch.
Not here: how polars reads text by a format, and why it can't read by one (``polars_syntax``).
"""

# Named formats: numbers since 1970-01-01 UTC, with the microseconds of one unit.
EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}

# Directives whose offset polars ignores, unless the directive is the whole format.
_IGNORED_OFFSETS = ("%Z", "%+")


def has_offset(fmt: str) -> bool:
    """Whether text of the format states its offset from UTC, so that the column's timezone is not needed."""
    return fmt == "%+" or any(directive in fmt for directive in ("%z", "%:z", "%#z"))


def ignored_offset(fmt: str) -> str | None:
    """The directive of an offset that reading would ignore; None where there is none."""
    directives = fmt.replace("%%", "")
    return next((offset for offset in _IGNORED_OFFSETS if offset in directives and fmt != offset), None)


def misreads_fractions(fmt: str) -> bool:
    """Whether polars warns of the format: by ``%f`` it takes the digits of a fraction for whole nanoseconds."""
    return "%f" in fmt
