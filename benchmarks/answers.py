"""What a program answered, as digests that no order changes: a count of rows and a sum of md5 over them.

DuckDB makes those of Parquet files, PostgreSQL those of tables; both sides of a pair the same way.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Failed

# All values as text; what is null is told from what is empty.
SESSIONS = (
    "user_id",
    "epoch_us(session_start)",
    "epoch_us(session_end)",
    "event_count",
    "primary_action",
    "entry_page",
    "exit_page",
    "round(duration_seconds * 1e6)::bigint",
)
SESSIONIZED = (
    "event_id",
    "user_id",
    "epoch_us(event_timestamp)",
    "event_type",
    "page_url",
    "referrer",
    "device",
    "amount",
    "is_new_session",
    "round(time_diff_seconds * 1e6)::bigint",
)


def of_parquet(asked: Mapping[str, tuple[Path, Sequence[str]]]) -> dict[str, str]:
    """A digest of some columns of each file; taken in a process of its own, whose time is nobody's."""
    files = {name: [str(path), list(columns)] for name, (path, columns) in asked.items()}
    return dict(measure.run(measure.program("answers", "digests", files=files)).told)


def digests(files: Mapping[str, tuple[str, Sequence[str]]]) -> dict[str, str]:
    import duckdb

    with duckdb.connect() as connection:
        return {
            name: digest_of(connection, f"read_parquet('{path}')", columns) for name, (path, columns) in files.items()
        }


def digest_of(connection: Any, relation: str, columns: Sequence[str]) -> str:
    """The same of anything that DuckDB can select from."""
    texts = ", ".join(f"coalesce(({column})::varchar, chr(30))" for column in columns)
    row = f"concat_ws(chr(31), {texts})"
    query = f"""
        select count(*), coalesce(sum((md5 >> 64)::hugeint), 0),
            coalesce(sum((md5 & 18446744073709551615::uhugeint)::hugeint), 0)
        from (select md5_number({row}) as md5 from {relation})"""
    rows, low, high = connection.execute(query).fetchone()
    return f"{rows} rows {low:x} {high:x}"


def hold_equal(ours: Mapping[str, Any], peer: Mapping[str, Any], name: str) -> None:
    """Raises Failed where they differ in anything that both tell, or tell nothing alike."""
    shared = [key for key in ours if key in peer]
    if not shared:
        raise Failed(f"{name}: ours and the peer tell nothing that could be compared.")
    for key in shared:
        if ours[key] != peer[key]:
            raise Failed(f"{name}: the answers differ in {key}: ours is {ours[key]}, the peer's {peer[key]}.")
