"""The stream that the benchmarks' events belong to, and its rules as SQL for the peers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.data import DAY_ONE, TYPES

if TYPE_CHECKING:
    from sessions_platform.contracts.stream import Stream

NAME = "shop"
GAP_MICROSECONDS = 30 * 60 * 1_000_000

_FORMS = {".csv": "csv", ".parquet": "parquet", ".ndjson": "ndjson", ".json": "json", ".log": "regex"}


def definition(
    name: str = NAME, files: str = "landing/{partition:%Y-%m-%d}/*.ndjson.gz", **source: Any
) -> dict[str, Any]:
    """What the stream's YAML file says; `source` are further keys of its source."""
    form = next(form for suffix, form in _FORMS.items() if suffix in files)
    return {
        "name": name,
        "start": f"{DAY_ONE:%Y-%m-%d}",
        "end": f"{DAY_ONE.replace(year=DAY_ONE.year + 1):%Y-%m-%d}",
        "source": {"files": files, "format": form, **source},
        "columns": {
            "event_id": {},
            "user_id": {},
            "event_timestamp": {"formats": ["%+"]},
            "event_type": {"isin": list(TYPES)},
            "page_url": {},
            "referrer": {"nullable": True},
            "device": {},
            "amount": {"type": "float", "nullable": True, "ge": 0},
        },
    }


def stream(**given: Any) -> "Stream":
    from sessions_platform.contracts.stream import Stream

    return Stream.model_validate(definition(**given))


def stream_ruled_by(session: Mapping[str, Any], also: Sequence[str]) -> "Stream":
    """The stream with another session rule, and with further columns of text that may be null."""
    from sessions_platform.contracts.stream import Stream

    stated = definition()
    columns = {**stated["columns"], **{name: {"nullable": True} for name in also}}
    return Stream.model_validate({**stated, "columns": columns, "session": session})


def listed(values: tuple[str, ...]) -> str:
    return ", ".join(f"'{value}'" for value in values)


TYPES_SQL = listed(TYPES)
# The contract. Every row is looked at: the peers check what the platform checks, and not only what is broken here.
VALID = f"""
event_id is not null and user_id is not null and page_url is not null and device is not null
and event_type in ({TYPES_SQL})
and event_timestamp >= timestamptz '{DAY_ONE.isoformat()}'
and (amount is null or (amount >= 0 and isfinite(amount)))"""
SESSION_ID = "md5(user_id || chr(31) || epoch_us(event_timestamp) || chr(31) || event_id)::uuid::varchar"
