"""The timestamp formats of a stream's file, in plain Python.

A format is a ``strftime`` pattern, ``%+`` (ISO 8601 with an offset), ``iso8601`` or the name of an epoch.
Not here: which texts a pattern reads by mistake (``timestamp_shapes``), how polars reads text by a format
(``timestamp_reading``), and why it can't read by one (``polars_syntax``).
"""

# Named formats: numbers since 1970-01-01, with the nanoseconds of one unit.
EPOCHS = {
    "epoch_s": 1_000_000_000,
    "epoch_s_local": 1_000_000_000,
    "epoch_ms": 1_000_000,
    "epoch_us": 1_000,
    "epoch_ns": 1,
}
# The epoch that clocks on the wall show: it counts from 1970-01-01 in the column's timezone.
LOCAL_EPOCH = "epoch_s_local"

# ISO 8601 in the profile that programs write; with an offset or without one.
ISO = "iso8601"

# Directives whose offset polars ignores, unless the directive is the whole format.
_IGNORED_OFFSETS = ("%Z", "%+")


def has_offset(fmt: str) -> bool:
    """Whether text of the format states its offset from UTC, so that the column's timezone is not needed."""
    return fmt == "%+" or any(directive in fmt for directive in ("%z", "%:z", "%#z"))


def is_in_utc(fmt: str) -> bool:
    """Whether the format is an epoch in UTC, of which no timezone changes the meaning."""
    return fmt in EPOCHS and fmt != LOCAL_EPOCH


def ignored_offset(fmt: str) -> str | None:
    """The directive of an offset that reading would ignore; None where there is none."""
    directives = fmt.replace("%%", "")
    return next((offset for offset in _IGNORED_OFFSETS if offset in directives and fmt != offset), None)


def misreads_fractions(fmt: str) -> bool:
    """Whether polars warns of the format: by ``%f`` it takes the digits of a fraction for whole nanoseconds."""
    return "%f" in fmt
