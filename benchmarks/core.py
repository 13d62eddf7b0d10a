"""The core job: Parquet → validate → deduplicate → sessionize → sessions and sessionized events as Parquet.

Repeated ids are found wherever they occur, and the first by position is kept. Ours writes a little more than the
peers do: each event's position, and why it opens a session.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import answers, measure
from benchmarks.bench import Bench, in_turn
from benchmarks.data import COLUMNS
from benchmarks.results import Comparison, Result
from benchmarks.stream import GAP_MICROSECONDS, SESSION_ID, VALID, stream_ruled_by

ROWS = 10_000_000
# The others' libraries have no md5.
MAKE_IDS = ("ours", "in_duckdb")
_SMALL = "ours in 1 GB"
SESSIONS, SESSIONIZED = "sessions.parquet", "sessionized.parquet"


@dataclass(frozen=True)
class Peer:
    """A program that does the same; `limit` answers nothing."""

    function: str
    about: str
    options: Mapping[str, Any] = field(default_factory=dict)
    answers: bool = True
    most_rows: int | None = None


PEERS = {
    "duckdb": Peer("in_duckdb", "DuckDB, the best SQL found"),
    "duckdb in 1 GB": Peer("in_duckdb", "The same, held to 1 GB", {"memory": "1GB"}),
    "polars textbook": Peer("textbook", 'polars as its users write it, with .over("user_id")'),
    "pandas": Peer("pandas", "pandas on pyarrow, up to a million events", most_rows=1_000_000),
    "limit": Peer("limit", "The limit: read, one sort of packed integers, gather, write", answers=False),
}


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    events = bench.cache.get("parquet", rows) / "events.parquet"
    peers = {name: peer for name, peer in PEERS.items() if rows <= (peer.most_rows or rows)}
    programs = {"ours": partial(program, bench, events, "ours", {})}
    programs |= {name: partial(program, bench, events, peer.function, peer.options) for name, peer in peers.items()}
    programs[_SMALL] = partial(program, bench, events, "ours", {"memory": 10**9})
    taken = in_turn(bench, programs, partial(_compare, peers))
    for name, peer in peers.items():
        yield Comparison(f"core/{name}", peer.about, rows, taken["ours"], taken[name])
    about = "DuckDB, the best SQL found, with all the memory that it takes; ours with SESSIONS_MEMORY=1GB"
    yield Comparison(f"core/duckdb, {_SMALL}", about, rows, taken[_SMALL], taken["duckdb"])


def program(
    bench: Bench, events: Path, function: str, options: Mapping[str, Any]
) -> tuple[measure.Run, dict[str, Any]]:
    """Run one of the programs below; its answer is taken from the files that it wrote."""
    with bench.folder() as folder:
        taken = measure.run(measure.program("core", function, events=str(events), folder=str(folder), **options))
        if function == "limit":
            return taken, {}
        sessions, sessionized = folder / SESSIONS, folder / SESSIONIZED
        asked = {"sessions": (sessions, answers.SESSIONS), "sessionized events": (sessionized, answers.SESSIONIZED)}
        if function in MAKE_IDS:
            asked["ids of sessions"] = (sessions, ("session_id", "user_id", "session_start"))
            asked["ids of sessionized events"] = (sessionized, ("event_id", "session_id"))
        answer = {**taken.output, **answers.of_parquet(asked)}
        return taken, answer


def _compare(peers: Mapping[str, Peer], name: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    if name == _SMALL or peers[name].answers:
        answers.check_equal(ours, theirs, f"core, {name}")


# The programs --------------------------------------------------------------------------------------------


def ours(
    events: str,
    folder: str,
    memory: int | None = None,
    session: Mapping[str, Any] | None = None,
    also: Sequence[str] = (),
) -> dict[str, int]:
    """The platform's own transforms: deduplicate rows that share an id, sessionize users, at once or in buckets.

    `memory` is the budget in bytes. Of the files' columns those that all files have are read, and those of `also`.
    """
    import polars as pl

    from sessions_platform.contracts.events import event_columns
    from sessions_platform.contracts.sessions import session_columns, sessionized_columns
    from sessions_platform.memory_budget import MemoryBudget
    from sessions_platform.storage.lake.filesystem import LocalFilesystem
    from sessions_platform.storage.lake.lake import Lake
    from sessions_platform.storage.lake.prefetch import prefetch
    from sessions_platform.storage.lake.spill import Spill
    from sessions_platform.transforms.deduplicate import deduplicate
    from sessions_platform.transforms.sort_events import repeated

    shop, scratch = stream_ruled_by(session or {}, also), Path(folder) / "scratch"
    lake = Lake(LocalFilesystem(Path(folder)), scratch)
    columns, budget = event_columns(shop), MemoryBudget.of(memory) if memory else MemoryBudget.default()
    measure.mark("ready")
    source = pl.scan_parquet(events)
    hashes = source.select(pl.col("event_id").hash()).collect().to_series()
    twice = repeated(hashes).implode()
    rows = len(hashes)
    del hashes
    size = rows * _BYTES_OF_A_ROW
    buckets = 1 if size <= budget.at_once else 1 + size // budget.bucket
    kept = budget.at_once if buckets == 1 else None
    users = Spill(scratch, columns, budget.bucket, buckets, pl.col("user_id").hash(), most_in_memory=kept)
    contested, accepted = Spill(scratch, columns, budget.bucket), 0
    for valid in prefetch(valid_rows(raw, shop) for raw in prefetch(positioned(lake, events, columns, also))):
        is_contested = valid["event_id"].hash().is_in(twice)
        contested.add(valid.filter(is_contested))
        users.add(valid.filter(~is_contested))
        accepted += valid.height
    settled = deduplicate(contested.bucket(0), shop, {}).events
    users.add(settled)
    sessions = Spill(scratch, session_columns(shop), budget.bucket, most_in_memory=kept)

    def each_made() -> Iterator[pl.DataFrame]:
        for sessionized, of_bucket in _sessionized(users, shop):
            sessions.add(of_bucket)
            yield sessionized

    for name, frames, schema in (
        (SESSIONIZED, each_made(), sessionized_columns(shop)),
        (SESSIONS, sessions.chunks(), session_columns(shop)),
    ):
        stored = lake.write("stored", frames, schema)
        (Path(folder) / stored.path).rename(Path(folder) / name)
    return {"accepted": users.rows, "repeated": accepted - users.rows, "invalid": rows - accepted}


_BYTES_OF_A_ROW = 210  # with what the buffers of its texts have besides


def _sessionized(users: Any, shop: Any) -> Iterator[Any]:
    """Sessionized events and their sessions, in parts: of users that are sorted at once, or bucket by bucket."""
    from sessions_platform.storage.lake.prefetch import prefetch_map
    from sessions_platform.transforms.sessionize import sessionize, sessionize_sorted
    from sessions_platform.transforms.sort_events import PART_ROWS, sort_rows
    from sessions_platform.transforms.summarize import summarize

    def summarized(sessionized: Any) -> tuple[Any, Any]:
        return sessionized, summarize(sessionized, shop)

    if users.buckets > 1:
        buckets = range(users.buckets)
        yield from prefetch_map(lambda number: summarized(sessionize(users.bucket(number), shop)), buckets)
        return
    ordered = sort_rows(users.take(), shop)
    parts = ordered.parts(PART_ROWS)
    yield from prefetch_map(lambda part: summarized(sessionize_sorted(ordered.frame(*part), shop)), parts)


def positioned(lake: Any, events: str, columns: Mapping[str, Any], also: Sequence[str]) -> Iterator[Any]:
    """Events in their order, with their positions."""
    import polars as pl

    position = 1
    for block in lake.blocks([events], {name: columns[name] for name in (*COLUMNS, *also)}):
        yield block.with_columns(
            properties=pl.lit(None, pl.String),
            landing_partition=pl.lit("2026-01-01"),
            source_uri=pl.lit("events.parquet"),
            position=pl.int_range(position, position + block.height, dtype=pl.Int64),
        ).select(*columns)
        position += block.height


def valid_rows(raw: Any, shop: Any) -> Any:
    from sessions_platform.contracts.schemas.events import row_schema

    return raw.filter(~row_schema(shop, None).broken_rows(raw))


def in_duckdb(events: str, folder: str, memory: str | None = None, gap: int = GAP_MICROSECONDS) -> dict[str, int]:
    """One sort by a packed integer (the user's number, microseconds) and event_id, then windows that stream.

    Measured against it, and slower: windows partitioned by user; narrow windows joined back to the rows;
    row_number() over each event_id.
    """
    connection = connected(folder)
    measure.mark("ready")
    if memory:
        connection.execute(f"set memory_limit = '{memory}'")
    file = f"read_parquet('{events}', file_row_number = true)"
    make_enums(connection, f"read_parquet('{events}')")
    connection.execute(f"""
        create temp table repeated as
        select event_id, min(file_row_number) as first, count(*) as copies
        from {file} where {VALID} group by event_id having count(*) > 1""")
    source = f"""
        select {ENUMS} from {file} left join repeated using (event_id)
        where {VALID} and (first is null or first = file_row_number)"""
    if memory:  # what is sorted while it is still joined does not fit
        connection.execute(f"create temp table accepted as {source}")
        source = "from accepted"
    sessionize_in_duckdb(connection, source, gap)
    write_in_duckdb(connection, folder)
    counted = connection.execute(f"""
        select (select count(*) from ordered), (select coalesce(sum(copies - 1), 0)::bigint from repeated),
               (select count(*) from {file})""").fetchone()
    accepted, repeated, rows = counted or (0, 0, 0)
    return {"accepted": accepted, "repeated": repeated, "invalid": rows - accepted - repeated}


def connected(folder: str) -> Any:
    import duckdb

    # Ahead of the machine, which has other things in memory too; ten million events take half of it.
    connection = duckdb.connect(config={"temp_directory": f"{folder}/spilled", "memory_limit": "12GB"})
    connection.execute("set timezone = 'UTC'")
    return connection


ENUMS = (
    "event_id, user_id, event_timestamp, "
    + ", ".join(f"{name}::{name}_enum as {name}" for name in ("event_type", "page_url", "referrer", "device"))
    + ", amount"
)


def make_enums(connection: Any, relation: str) -> None:
    """Columns of few values as numbers: rows are narrower to sort."""
    for name in ("event_type", "page_url", "referrer", "device"):
        values = f"select distinct {name} from {relation} where {name} is not null"
        connection.execute(f"create type {name}_enum as enum ({values})")


def sessionize_in_duckdb(connection: Any, source: str, gap: int = GAP_MICROSECONDS) -> None:
    """Make the tables `ordered` (events, in the order of users and time) and `starts` (a row a session)."""
    connection.execute(f"create temp table chosen_users as select distinct user_id from ({source})")
    connection.execute("create temp table users as select user_id, row_number() over () as number from chosen_users")
    connection.execute(f"""
        create temp table ordered as
        select *, row_number() over () as place,
               sum(is_new_session::int) over (rows unbounded preceding) as session_number
        from (select *, silence is null or silence > {gap} as is_new_session
              from (select *, case when number = lag(number) over () then micros - lag(micros) over () end as silence
                    from (select source.*, number, epoch_us(event_timestamp) as micros
                          from ({source}) source join users using (user_id)
                          order by (number << 40) | (micros - {_FIRST_MICROS}), event_id)))""")
    connection.execute(f"""
        create temp table starts as
        select session_number, place as first, {SESSION_ID} as session_id,
               coalesce(lead(place) over (order by place) - 1, (select max(place) from ordered)) as last
        from ordered where is_new_session""")


# 2026-01-01. Forty bits have room for twelve days, and leave it for eight million users.
_FIRST_MICROS = 1_767_225_600_000_000
SESSIONIZED_SQL = f"""
    select {", ".join(COLUMNS)}, is_new_session, session_id,
           case when not is_new_session then silence / 1e6 end as time_diff_seconds
    from ordered join starts using (session_number)"""
# Of one event or two the first one's type is the most frequent, for ties go to the earliest.
SESSIONS_SQL = """
    with counted as (
        select session_number, event_type, count(*) as events, min(place) as earliest
        from ordered semi join (from starts where last - first > 1) using (session_number) group by all
    ), frequent as (
        select session_number, arg_max(event_type, (events, -earliest)) as event_type from counted group by all
    )
    select session_id, opening.user_id, opening.event_timestamp as session_start,
           closing.event_timestamp as session_end, (closing.micros - opening.micros) / 1e6 as duration_seconds,
           last - first + 1 as event_count, coalesce(frequent.event_type, opening.event_type) as primary_action,
           opening.page_url as entry_page, closing.page_url as exit_page
    from starts join ordered opening on opening.place = first join ordered closing on closing.place = last
    left join frequent on frequent.session_number = starts.session_number"""
PARQUET = "(format parquet, compression zstd, compression_level 1)"


def write_in_duckdb(connection: Any, folder: str) -> None:
    connection.execute(f"copy ({SESSIONIZED_SQL}) to '{folder}/{SESSIONIZED}' {PARQUET}")
    connection.execute(f"copy ({SESSIONS_SQL}) to '{folder}/{SESSIONS}' {PARQUET}")


def textbook(events: str, folder: str) -> dict[str, int]:
    """What one writes who knows polars well and asks for no more. A session bears its opening event's id."""
    import polars as pl

    from benchmarks.data import TYPES

    measure.mark("ready")
    raw = pl.read_parquet(events)
    valid = raw.filter(
        pl.col("user_id").is_not_null(),
        pl.col("event_type").is_in(TYPES),
        pl.col("amount").is_null() | (pl.col("amount") >= 0),
    )
    accepted = valid.unique("event_id", keep="first", maintain_order=True)
    silence = pl.col("event_timestamp").diff()
    sessionized = (
        accepted.sort("user_id", "event_timestamp", "event_id")
        .with_columns(_silence=silence.over("user_id"))
        .with_columns(
            is_new_session=pl.col("_silence").is_null() | (pl.col("_silence") > pl.duration(minutes=30)),
        )
        .with_columns(
            session_id=pl.when("is_new_session").then("event_id").forward_fill().over("user_id"),
            time_diff_seconds=pl.when(~pl.col("is_new_session")).then(pl.col("_silence").dt.total_microseconds() / 1e6),
        )
        .drop("_silence")
    )
    sessionized.write_parquet(Path(folder) / SESSIONIZED, compression="zstd", compression_level=1)
    start, end = pl.col("event_timestamp").first(), pl.col("event_timestamp").last()
    actions = sessionized.group_by("session_id", "event_type", maintain_order=True).len()
    primary = actions.sort("len", descending=True, maintain_order=True).unique("session_id", keep="first")
    sessions = (
        sessionized.group_by("session_id", maintain_order=True)
        .agg(
            pl.col("user_id").first(),
            session_start=start,
            session_end=end,
            duration_seconds=(end - start).dt.total_microseconds() / 1e6,
            event_count=pl.len(),
            entry_page=pl.col("page_url").first(),
            exit_page=pl.col("page_url").last(),
        )
        .join(primary.select("session_id", primary_action="event_type"), on="session_id")
    )
    sessions.write_parquet(Path(folder) / SESSIONS, compression="zstd", compression_level=1)
    return _counts(raw.height, valid.height, accepted.height)


def pandas(events: str, folder: str) -> dict[str, int]:
    """With the sessions' ends taken by place: its groupby takes ten times as long."""
    import numpy as np
    import pandas as pd

    from benchmarks.data import TYPES

    measure.mark("ready")
    raw: Any = pd.read_parquet(events, dtype_backend="pyarrow")
    is_valid = raw.user_id.notna() & raw.event_type.isin(TYPES) & (raw.amount.isna() | (raw.amount >= 0))
    valid = raw[is_valid]
    accepted = valid.drop_duplicates("event_id", keep="first")
    rows = accepted.sort_values(["user_id", "event_timestamp", "event_id"]).reset_index(drop=True)
    same_user = (rows.user_id == rows.user_id.shift()).fillna(value=False)
    silence = (rows.event_timestamp.astype("datetime64[us, UTC]").diff().dt.total_seconds()).where(same_user)
    rows["is_new_session"] = silence.isna() | (silence > 30 * 60)
    rows["time_diff_seconds"] = silence.where(~rows.is_new_session)
    rows.to_parquet(Path(folder) / SESSIONIZED, compression="zstd")
    opens = rows.is_new_session.to_numpy(dtype=bool)
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(rows)) - 1
    opening, closing = rows.iloc[first].reset_index(drop=True), rows.iloc[last].reset_index(drop=True)
    start, end = (side.event_timestamp.astype("datetime64[us, UTC]") for side in (opening, closing))
    types = rows.event_type.astype("category")
    counts: Any = pd.Series(0, index=pd.MultiIndex.from_arrays([opens.cumsum() - 1, types.cat.codes]))
    counts = counts.groupby(level=[0, 1], sort=False).size().sort_values(ascending=False, kind="stable")
    primary = counts.index.to_frame(index=False, name=["session", "type"]).drop_duplicates("session")
    sessions = pd.DataFrame(
        {
            "user_id": opening.user_id,
            "session_start": start,
            "session_end": end,
            "duration_seconds": (end - start).dt.total_seconds(),
            "event_count": last - first + 1,
            "primary_action": types.cat.categories.take(primary.sort_values("session")["type"]),
            "entry_page": opening.page_url,
            "exit_page": closing.page_url,
        }
    )
    sessions.to_parquet(Path(folder) / SESSIONS, compression="zstd")
    return _counts(len(raw), len(valid), len(accepted))


def limit(events: str, folder: str) -> dict[str, int]:
    """No program that keeps all events in the order of users and time can do with less: no answer, but a floor."""
    import polars as pl

    measure.mark("ready")
    few = ("event_type", "page_url", "referrer", "device")
    raw = pl.read_parquet(events).with_columns(pl.col(few).cast(pl.Categorical)).rechunk()
    hashes = raw["user_id"].hash()
    by_user = hashes.arg_sort()
    runs = hashes.gather(by_user)
    numbers = (runs != runs.shift()).fill_null(value=True).cum_sum().cast(pl.Int64)
    number = pl.zeros(raw.height, pl.Int64, eager=True).scatter(by_user, numbers)
    packed = number * 2**42 + raw["event_timestamp"].dt.epoch("us") - _FIRST_MICROS
    raw[packed.arg_sort()].write_parquet(Path(folder) / SESSIONIZED, compression="zstd", compression_level=1)
    return {"rows": raw.height}


def _counts(rows: int, valid: int, accepted: int) -> dict[str, int]:
    return {"accepted": accepted, "repeated": valid - accepted, "invalid": rows - valid}
