"""Events for the benchmarks: made in blocks by a seeded program, written once for each kind and size.

Eight columns; rows/20 users with a heavy tail; visits of five events on average, in which some events
fall on one moment; in no order. Of a hundred rows one repeats an event, now and then with another
content, and one breaks the contract.
"""

import gzip
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from benchmarks import measure

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

DAY_ONE = datetime(2026, 1, 1, tzinfo=UTC)
TYPES = ("view_page", "search", "click", "add_to_cart", "checkout", "purchase", "login", "logout")
COLUMNS = ("event_id", "user_id", "event_timestamp", "event_type", "page_url", "referrer", "device", "amount")
SEED = 20260101

_BLOCK = 500_000
_DEVICES = ("desktop", "mobile", "tablet")
_PAGES, _REFERRERS = 5_000, 200
_EVENTS_IN_A_VISIT = 5
_TYPE_WEIGHTS = (0.4, 0.15, 0.2, 0.08, 0.04, 0.03, 0.06, 0.04)
_SECONDS_OF_A_DAY = 86_400
_NO_UTF8 = "\ue000"  # stands for a byte that is none while blocks are still text
# A block of eight megabytes has about so many rows.
_ROWS_OF_A_BLOCK = 30_000
_BATCH = 100


def days(count: int) -> list[str]:
    return [f"{DAY_ONE + timedelta(days=number):%Y-%m-%d}" for number in range(count)]


@dataclass(frozen=True)
class Cache:
    """A folder in which each kind of data is made once. Making it is a process of its own."""

    folder: Path
    seed: int = SEED

    def get(self, kind: str, rows: int, **options: Any) -> Path:
        """The folder that holds this data."""
        chosen = (f"{key}={value}" for key, value in options.items() if isinstance(value, str | int))
        name = "-".join(map(str, [kind, rows, *chosen, self.seed]))
        place = self.folder / name
        if not place.exists():
            unfinished = place.with_name(f"{name}.tmp")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            given = {"kind": kind, "folder": str(unfinished), "rows": rows, "seed": self.seed, **options}
            measure.run(measure.program("data", "make", **given))
            unfinished.rename(place)
        return place

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def make(kind: str, folder: str, rows: int, seed: int, **options: Any) -> None:
    _KINDS[kind](Path(folder), rows, seed, **options)


# Rows ----------------------------------------------------------------------------------------------------


def blocks(rows: int, days: int, seed: int) -> Iterator["pl.DataFrame"]:
    """The events as typed frames. A copy may stand in another block than the event that it repeats."""
    import numpy as np
    import polars as pl

    pool: pl.DataFrame | None = None
    for number, start in enumerate(range(0, rows, _BLOCK)):
        rng = np.random.default_rng([seed, number])
        size = min(_BLOCK, rows - start)
        copied = size // 100
        fresh = _fresh(size - copied, rows, days, rng)
        here = fresh.sample(copied, seed=number)
        copies = (here if pool is None else pl.concat([here, pool])).sample(copied, seed=number)
        pool = here
        frame = pl.concat([fresh, _some_altered(copies, rng)])
        yield frame[rng.permutation(frame.height)]


def _fresh(size: int, rows: int, days: int, rng: "np.random.Generator") -> "pl.DataFrame":
    import numpy as np
    import polars as pl

    visit = rng.integers(0, max(rows // _EVENTS_IN_A_VISIT, 1), size, dtype=np.uint64)
    users = max(rows // 20, 1)
    user = (users * _chance(visit, 1) ** 1.5).astype(np.int64)
    seconds = _chance(visit, 2) * days * _SECONDS_OF_A_DAY + rng.exponential(360, size)
    micros = (seconds * 1_000_000).astype(np.int64)
    rounded = rng.random(size) < 0.1
    micros[rounded] -= micros[rounded] % 60_000_000
    micros = np.minimum(micros, days * _SECONDS_OF_A_DAY * 1_000_000 - 1) + int(DAY_ONE.timestamp()) * 1_000_000
    kind = rng.choice(len(TYPES), size, p=_TYPE_WEIGHTS)
    bought = kind == TYPES.index("purchase")
    amount = np.where(bought, rng.integers(1, 20_000, size) / 100, np.nan)
    bad = rng.random(size)
    amount[bad < 0.003] = -1.0
    return pl.DataFrame(
        {
            "event_id": _ids(size, rng),
            "user_id": pl.select(pl.format("user-{}", pl.Series(user).cast(pl.String).str.zfill(8))).to_series(),
            "event_timestamp": pl.Series(micros).cast(pl.Datetime("us", "UTC")),
            "event_type": pl.Series(TYPES).gather(kind),
            "page_url": _pages().gather(rng.integers(0, _PAGES, size)),
            "referrer": _referrers().gather(np.minimum(rng.integers(0, _REFERRERS * 3 // 2, size), _REFERRERS)),
            "device": pl.Series(_DEVICES).gather(rng.integers(0, len(_DEVICES), size)),
            "amount": pl.Series(amount).fill_nan(None),
        }
    ).with_columns(
        user_id=pl.when(pl.lit(pl.Series(~((bad >= 0.003) & (bad < 0.007))))).then("user_id"),
        event_type=pl.when(pl.lit(pl.Series(bad >= 0.99700))).then(pl.lit("teleport")).otherwise("event_type"),
    )


def _chance(numbers: "np.ndarray", salt: int) -> "np.ndarray":
    """A number from 0 to 1 that is always the same for a visit (splitmix64)."""
    import numpy as np

    mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt * 0xD1B54A32D192ED03 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) / 2.0**64


def _ids(size: int, rng: "np.random.Generator") -> "pl.Series":
    import polars as pl

    text = rng.bytes(16 * size).hex()
    digits = pl.Series([text[at : at + 32] for at in range(0, len(text), 32)], dtype=pl.String)
    parts = [digits.str.slice(at, length) for at, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
    return pl.select(pl.concat_str(parts, separator="-")).to_series()


def _pages() -> "pl.Series":
    """Some not ASCII, some with a comma."""
    import polars as pl

    topics = ["shoes", "schläuche", "books", "toys,games", *["garden"] * 46]
    return pl.Series([f"https://shop.example/{topics[n % 50]}/{n:04}" for n in range(_PAGES)])


def _referrers() -> "pl.Series":
    """The last one is none; a third of all events has it."""
    import polars as pl

    return pl.Series([*(f"https://search.example/?q={n}" for n in range(_REFERRERS)), None])


def _some_altered(copies: "pl.DataFrame", rng: "np.random.Generator") -> "pl.DataFrame":
    """A tenth of the copies have another content, and half of these another time."""
    import polars as pl

    chance = pl.lit(pl.Series(rng.random(copies.height)))
    earlier = pl.col("event_timestamp") - pl.duration(seconds=1)
    in_range = earlier.dt.date() == pl.col("event_timestamp").dt.date()
    return copies.with_columns(
        amount=pl.when(chance < 0.1).then(pl.col("amount").fill_null(0) + 7).otherwise("amount"),
        event_timestamp=pl.when((chance < 0.05) & in_range).then(earlier).otherwise("event_timestamp"),
    )


# Files ---------------------------------------------------------------------------------------------------


def _parquet(folder: Path, rows: int, seed: int, days: int = 10) -> None:
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    for block in blocks(rows, days, seed):
        table = block.to_arrow()
        table = table.cast(_plain_text(table.schema))
        writer = writer or pq.ParquetWriter(folder / "events.parquet", table.schema, compression="zstd")
        writer.write_table(table, row_group_size=122_880)
    if writer:
        writer.close()


def _tool_ids(folder: Path, rows: int, seed: int) -> None:
    """A Parquet file of events with the session id that a tool would have given them."""
    import polars as pl

    _parquet(folder, rows, seed)
    raw = pl.read_parquet(folder / "events.parquet", memory_map=False).with_row_index("row")
    gap, time = pl.duration(minutes=30), pl.col("event_timestamp")
    ordered = raw.select("row", "user_id", "event_timestamp").sort("user_id", "event_timestamp", "row")
    is_first = pl.col("user_id").ne_missing(pl.col("user_id").shift()) | (time.diff() > gap)
    number = is_first.fill_null(value=True).cum_sum()
    chance = pl.col("row").hash(seed)
    tab = pl.when(pl.col("user_id").hash(seed) % 30 == 0).then(chance % 2).otherwise(0)
    named = pl.when(chance % 20 != 0).then(pl.format("{}-{}", number, tab))
    ids = ordered.select("row", sid=named).sort("row")
    raw.drop("row").with_columns(ids["sid"]).write_parquet(
        folder / "events.parquet", compression="zstd", row_group_size=122_880
    )


# Numbers stand for {}.
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.{}.{} Safari/537.36",
    "Mozilla/5.0 (Linux; Android {}; SM-S{}B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Mobile "
    "Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {}_{} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.{} "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7; rv:{}.{}) Gecko/20100101 Firefox/{}",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {}_{} like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Instagram {}.0",
    "Mozilla/5.0 (compatible; Googlebot/{}.{}; +http://www.google.com/bot.html) {}",
)
_QUERIES = (
    *[""] * 6,
    "?page={}",
    "?utm_source=news{}&utm_medium=email&utm_campaign=spring%20sale",
    "?gclid=Cj0K{}",
)
_HOSTS = ("www.google.com", "chatgpt.com", "shop.example", "www.facebook.com", "blog-{}.example.org")


def _web(folder: Path, rows: int, seed: int) -> None:
    """Events with user agent, address, referrer and URL, of each a twentieth distinct; and countries of addresses."""
    import ipaddress

    import numpy as np
    import polars as pl
    from mmdb_writer import MMDBWriter
    from netaddr import IPSet

    rng, count = np.random.default_rng(seed), max(rows // 20, 1)
    numbers = rng.integers(0, 10_000, (count, 3)).tolist()
    addresses = [str(ipaddress.ip_address(int(number))) for number in rng.integers(1 << 24, 1 << 32, count)]
    texts = {
        "user_agent": [_AGENTS[n % len(_AGENTS)].format(*three) for n, three in enumerate(numbers)],
        "ip": addresses,
        "referrer": [f"https://{_HOSTS[n % len(_HOSTS)].format(n % 1000)}/{n}?q={n}" for n in range(count)],
        "page_url": [f"https://shop.example/p/{n}{_QUERIES[n % len(_QUERIES)].format(n)}" for n in range(count)],
    }
    columns = {name: pl.Series(of_name).gather(rng.integers(0, count, rows)) for name, of_name in texts.items()}
    pl.DataFrame(columns).write_parquet(folder / "events.parquet")
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Country")
    for number in range(16, 224):
        code = f"{chr(65 + number % 26)}{chr(65 + number // 26)}"
        writer.insert_network(IPSet([f"{number}.0.0.0/9"]), {"country": {"iso_code": code}})
    writer.to_db_file(str(folder / "country.mmdb"))


def _plain_text(schema: Any) -> Any:
    """Text as other programs write it, and no views."""
    import pyarrow as pa

    return pa.schema([(f.name, pa.string() if pa.types.is_string_view(f.type) else f.type) for f in schema])


def _days_of_ndjson(folder: Path, rows: int, seed: int, days: int, broken: str = "none") -> None:
    """A gzipped NDJSON file for each day, FOLDER/2026-01-01.ndjson.gz and so on."""
    import numpy as np
    import polars as pl

    names = [f"{DAY_ONE + timedelta(days=number):%Y-%m-%d}" for number in range(days)]
    with ExitStack() as stack:
        files = {name: stack.enter_context(gzip.open(folder / f"{name}.ndjson.gz", "wb", 1)) for name in names}
        for number, block in enumerate(blocks(rows, days, seed)):
            rng = np.random.default_rng([seed, number, 2])
            dated = block.with_columns(_day=pl.col("event_timestamp").dt.strftime("%Y-%m-%d"))
            for (name,), of_day in dated.partition_by("_day", as_dict=True, include_key=False).items():
                lines = json_lines(of_day, rng)
                if broken == "spread":
                    lines = _planted(lines, rng.random(len(lines)) < 0.005, JSON_TEXT_FAULTS, None)
                files[str(name)].write(_joined(lines))


def _texts(folder: Path, rows: int, seed: int, form: str, broken: str) -> None:
    """FOLDER/events.ndjson or .csv, and the broken lines alone, each with its number before a tab, in `planted`."""
    import numpy as np

    position = 1
    with (folder / f"events.{form}").open("wb") as file, (folder / "planted").open("wb") as planted:
        if form == "csv":
            file.write((",".join(COLUMNS) + "\n").encode())
        for number, block in enumerate(blocks(rows, 1, seed)):
            rng = np.random.default_rng([seed, number, 1])
            lines = json_lines(block, rng) if form == "ndjson" else csv_lines(block)
            where = _where_broken(number * _BLOCK, block.height, rows, broken, rng)
            record = _Planted(planted, position)
            lines = _planted(lines, where, JSON_FAULTS if form == "ndjson" else CSV_FAULTS, record)
            file.write(_joined(lines))
            position += block.height + int(where.sum())


def _wrapped(folder: Path, rows: int, seed: int) -> None:
    """The same events as lines, as one array, and as lines of a hundred: events.ndjson, array.json, batches.ndjson."""
    import numpy as np

    lines = [json_lines(block, np.random.default_rng([seed, 1])) for block in blocks(rows, 1, seed)]
    texts = [_bytes(text) for series in lines for text in series]
    batches = [b",".join(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
    (folder / "events.ndjson").write_bytes(b"".join(text + b"\n" for text in texts))
    (folder / "array.json").write_bytes(b"[" + b",\n".join(texts) + b"]\n")
    (folder / "batches.ndjson").write_bytes(b"".join(b'{"sentAt":0,"batch":[%s]}\n' % batch for batch in batches))


def _access(folder: Path, rows: int, seed: int) -> None:
    """The same events as lines of a server's log, and as CSV: access.log and access.csv."""
    with (folder / "access.log").open("wb") as log, (folder / "access.csv").open("wb") as table:
        table.write((",".join(COLUMNS) + "\n").encode())
        for block in blocks(rows, 1, seed):
            log.write(_joined(access_lines(block)))
            table.write(_joined(csv_lines(block)))


def _where_broken(first: int, size: int, rows: int, broken: str, rng: "np.random.Generator") -> "np.ndarray":
    """Before which rows a broken line stands: 0.5 % of all, spread evenly, or in one block of twenty."""
    import numpy as np

    chance = rng.random(size)
    if broken == "none":
        return np.zeros(size, dtype=bool)
    if broken == "spread":
        return chance < 0.005
    block = min(_ROWS_OF_A_BLOCK, max(rows // 20, 1))
    return (chance < 0.1) & ((np.arange(first, first + size) // block) % 20 == 10)


def json_lines(frame: "pl.DataFrame", rng: "np.random.Generator") -> "pl.Series":
    """As producers write them: a null is written or its key absent, a missing user may be an empty text."""
    import polars as pl

    def chance(share: float) -> pl.Expr:
        return pl.lit(pl.Series(rng.random(frame.height) < share))

    def text(name: str) -> pl.Expr:
        return pl.format(',"' + name + '":"{}"', pl.col(name))

    user = pl.when(pl.col("user_id").is_not_null()).then(text("user_id"))
    no_user = pl.when(chance(0.5)).then(pl.lit(',"user_id":""')).when(chance(0.5)).then(pl.lit(',"user_id":null'))
    page = pl.when(chance(0.5)).then(text("page_url").str.replace("ä", "\\u00e4", literal=True))
    amount = pl.when(pl.col("amount").is_not_null()).then(pl.format(',"amount":{}', pl.col("amount")))
    time = pl.col("event_timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return frame.select(
        pl.concat_str(
            pl.lit('{"event_id":"') + pl.col("event_id") + pl.lit('"'),
            user.otherwise(no_user.otherwise(pl.lit(""))),
            pl.lit(',"event_timestamp":"') + time + pl.lit('"'),
            text("event_type"),
            page.otherwise(text("page_url")),
            pl.when(pl.col("referrer").is_not_null()).then(text("referrer")).otherwise(pl.lit("")),
            text("device"),
            amount.otherwise(pl.when(chance(0.5)).then(pl.lit(',"amount":null')).otherwise(pl.lit(""))),
            pl.lit("}"),
        )
    ).to_series()


def access_lines(frame: "pl.DataFrame") -> "pl.Series":
    """As Apache writes its combined log, with the time as ISO 8601 has it; null is a dash."""
    import polars as pl

    def text(name: str) -> pl.Expr:
        return pl.col(name).cast(pl.String).fill_null("-")

    time = pl.col("event_timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    request = (text("event_id"), text("user_id"), time, text("event_type"), text("page_url"))
    line = '{} - {} [{}] "{} {} HTTP/1.1" 200 {} "{}" "{}"'
    return frame.select(pl.format(line, *request, text("amount"), text("referrer"), text("device"))).to_series()


def csv_lines(frame: "pl.DataFrame") -> "pl.Series":
    import polars as pl

    text = frame.write_csv(include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    return pl.Series(text.splitlines())


def _sessions(folder: Path, rows: int, seed: int, columns: list[str], session_rule_version: str) -> None:
    """Sessions of one partition, and the same with half of them changed; as Parquet and as CSV for psql."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(seed)
    seconds = rng.exponential(600, rows).round(6)
    start = int(DAY_ONE.timestamp() * 1_000_000) + (rng.random(rows) * 80_000_000_000).astype(np.int64)
    sessions = pl.DataFrame(
        {
            "session_id": _ids(rows, rng),
            "user_id": pl.select(pl.format("user-{}", pl.Series(rng.integers(0, rows, rows)))).to_series(),
            "session_start": pl.Series(start).cast(pl.Datetime("us", "UTC")),
            "duration_seconds": seconds,
            "event_count": rng.integers(1, 40, rows),
            "primary_action": pl.Series(TYPES).gather(rng.integers(0, len(TYPES), rows)),
            "entry_page": _pages().gather(rng.integers(0, _PAGES, rows)),
            "exit_page": _pages().gather(rng.integers(0, _PAGES, rows)),
            "session_partition": [days(1)[0]] * rows,
            "session_rule_version": [session_rule_version] * rows,
        }
    )
    micros = (pl.col("duration_seconds") * 1_000_000).round().cast(pl.Int64)
    sessions = sessions.with_columns(session_end=pl.col("session_start") + pl.duration(microseconds=micros))
    is_changed = pl.lit(pl.Series(rng.random(rows) < 0.5))
    changed = sessions.with_columns(event_count=pl.col("event_count") + is_changed.cast(pl.Int64))
    for name, frame in (("sessions", sessions), ("changed", changed)):
        frame.select(columns).write_parquet(folder / f"{name}.parquet")
        frame.select(columns).write_csv(
            folder / f"{name}.csv", include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ"
        )


# Broken lines. Each is made of a good one, which stands behind it.

JSON_TEXT_FAULTS: tuple[Callable[[str], str], ...] = (
    lambda line: line[: len(line) // 2],
    lambda line: line + "}",
    lambda line: line.replace('"event_type":', '"event_type"', 1),
    lambda line: f"[{line}]",
    lambda line: line.replace('"device":"', '"device":"\\x', 1),
    lambda _: "ERROR: connection reset by peer",
)
# DuckDB takes the first of these for JSON, can't hold the second, and passes over the third.
JSON_FAULTS = (
    *JSON_TEXT_FAULTS,
    lambda line: line[:-1] + ",}",
    lambda line: line.replace("shop", _NO_UTF8, 1),
    lambda _: "",
)
CSV_FAULTS: tuple[Callable[[str], str], ...] = (
    lambda line: line.rpartition(",")[0],
    lambda line: line + ",,",
    lambda line: '"x"y,' + line.partition(",")[2],
    lambda line: line.replace("shop", _NO_UTF8, 1),
    lambda _: "",
)


@dataclass
class _Planted:
    file: IO[bytes]
    position: int  # of the first line of the block

    def note(self, position: int, line: str) -> None:
        self.file.write(f"{position}\t".encode() + _bytes(line) + b"\n")


def _planted(
    lines: "pl.Series", where: "np.ndarray", faults: tuple[Callable[[str], str], ...], record: _Planted | None
) -> "pl.Series":
    """The same lines, with a broken one before each of some."""
    import polars as pl

    at = where.nonzero()[0].tolist()
    broken = [faults[number % len(faults)](lines[row]) for number, row in enumerate(at)]
    for number, row in enumerate(at):
        if record:
            record.note(record.position + row + number, broken[number])
    both = pl.Series([f"{text}\n{lines[row]}" for text, row in zip(broken, at, strict=True)], dtype=pl.String)
    return lines.scatter(at, both) if at else lines


def _joined(lines: "pl.Series") -> bytes:
    return _bytes("\n".join(lines.to_list()) + "\n") if len(lines) else b""


def _bytes(text: str) -> bytes:
    return text.encode().replace(_NO_UTF8.encode(), b"\xff")


_KINDS: dict[str, Callable[..., None]] = {
    "parquet": _parquet,
    "days": _days_of_ndjson,
    "tool_ids": _tool_ids,
    "texts": _texts,
    "wrapped": _wrapped,
    "access": _access,
    "sessions": _sessions,
    "web": _web,
}
