"""A program's answer, as digests that do not depend on row order: a row count and a sum of md5 over the rows.

DuckDB makes those of Parquet files, PostgreSQL those of tables; both sides of a pair the same way.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.measure import Failed

# All values as text; null differs from empty.
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
    """A digest of some columns of each file; computed in a separate process, which is not measured."""
    files = {name: [str(path), list(columns)] for name, (path, columns) in asked.items()}
    return dict(measure.run(measure.program("answers", "digests", files=files)).output)


def digests(files: Mapping[str, tuple[str, Sequence[str]]]) -> dict[str, str]:
    import duckdb

    with duckdb.connect() as connection:
        return {
            name: digest_of(connection, f"read_parquet('{path}')", columns) for name, (path, columns) in files.items()
        }


def digest_of(connection: Any, relation: str, columns: Sequence[str]) -> str:
    """The digest of any relation that DuckDB can select from."""
    texts = ", ".join(f"coalesce(({column})::varchar, chr(30))" for column in columns)
    row = f"concat_ws(chr(31), {texts})"
    query = f"""
        select count(*), coalesce(sum((md5 >> 64)::hugeint), 0),
            coalesce(sum((md5 & 18446744073709551615::uhugeint)::hugeint), 0)
        from (select md5_number({row}) as md5 from {relation})"""
    rows, low, high = connection.execute(query).fetchone()
    return f"{rows} rows {low:x} {high:x}"


def check_equal(ours: Mapping[str, Any], peer: Mapping[str, Any], name: str) -> None:
    """Raises Failed where they differ in a key that both have, or have no key in common."""
    shared = [key for key in ours if key in peer]
    if not shared:
        raise Failed(f"{name}: the answers of ours and the peer have nothing in common to compare.")
    for key in shared:
        if ours[key] != peer[key]:
            raise Failed(f"{name}: the answers differ in {key}: ours is {ours[key]}, the peer's {peer[key]}.")
