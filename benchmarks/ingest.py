"""Reading: the bytes of a file to raw rows and to the stream's columns as text, and no byte lost.

The peers are polars' own readers, which know no broken rows: they read the same good rows from a file without
any. Of other forms of the same events the peer is ours, too: of JSON a line each, of a server's log CSV. What counts is
the time of the work, since a run imports its libraries once for all its files.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import answers, measure
from benchmarks.bench import Bench, in_turn
from benchmarks.data import COLUMNS
from benchmarks.results import Comparison, Result
from benchmarks.stream import stream

ROWS = 1_000_000
# The form, and where broken lines stand: 0.5 % of all.
CASES = {
    "ndjson clean": ("ndjson", "none"),
    "ndjson broken in one block of twenty": ("ndjson", "block"),
    "ndjson broken evenly": ("ndjson", "spread"),
    "csv clean": ("csv", "none"),
    "csv broken evenly": ("csv", "spread"),
    "parquet": ("parquet", "none"),
}
# Apache's combined lines, with the time as ISO 8601 has it.
ACCESS_LINE = (
    r'^(?<event_id>\S+) \S+ (?<user_id>\S+) \[(?<event_timestamp>[^\]]+)\] "(?<event_type>\S+) (?<page_url>\S+) [^"]*" '
    r'\d{3} (?<amount>\S+) "(?<referrer>[^"]*)" "(?<device>[^"]*)"$'
)


@dataclass(frozen=True)
class Form:
    """Another form of the same events: the kind of data, its file, keys of its source; and the file of the peer."""

    kind: str
    file: str
    peer: str
    source: dict[str, Any] = field(default_factory=dict)


FORMS = {
    "json array": Form("wrapped", "array.json", "events.ndjson"),
    "ndjson of batches of a hundred": Form("wrapped", "batches.ndjson", "events.ndjson", {"events": "batch"}),
    "regex": Form("access", "access.log", "access.csv", {"pattern": ACCESS_LINE, "nulls": ["-"]}),
}
# As a reader may spell them: typed or as text, no user as null or as an empty text.
VALUES = (
    "event_id",
    "nullif(user_id, '')",
    "epoch_us(event_timestamp::timestamptz)",
    *("event_type", "page_url", "referrer", "device"),
    "amount::double",
)


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    for case, (form, broken) in CASES.items():
        good, broken_file = _files(bench, rows, form, broken)
        bench.say(f"  {case}")
        programs = {
            "ours": partial(_program, bench, "ours", file=str(broken_file), form=form),
            "polars": partial(_program, bench, "polars", file=str(good), form=form),
        }
        planted = (
            digest_of_rows((broken_file.parent / "planted").read_bytes()) if form != "parquet" else digest_of_rows(b"")
        )
        taken = in_turn(bench, programs, partial(_compare, case, planted))
        about = f"{case}; against polars' reader of the good rows alone"
        yield Comparison(f"ingest/{case}", about, rows, taken["ours"], taken["polars"], "work")
    yield from forms(bench)


def forms(bench: Bench) -> Iterator[Result]:
    """Arrays, batches and lines of a log, against a simpler form of the same events."""
    rows = bench.rows(ROWS)
    for case, form in FORMS.items():
        bench.say(f"  {case}")
        files = bench.cache.get(form.kind, rows)
        suffix, peer = (name.rpartition(".")[2] for name in (form.file, form.peer))
        other = {"file": str(files / form.file), "form": suffix, "source": form.source}
        programs = {
            "ours": partial(_program, bench, "ours", **other),
            "peer": partial(_program, bench, "ours", file=str(files / form.peer), form=peer),
        }
        taken = in_turn(bench, programs, partial(_compare, case, digest_of_rows(b"")))
        about = f"{case}; against {peer.upper()} of the same events, by ours"
        yield Comparison(f"ingest/{case}", about, rows, taken["ours"], taken["peer"], "work")


def _files(bench: Bench, rows: int, form: str, broken: str) -> tuple[Path, Path]:
    if form == "parquet":
        file = bench.cache.get("parquet", rows, days=1) / "events.parquet"
        return file, file
    good, other = (bench.cache.get("texts", rows, form=form, broken=kind) for kind in ("none", broken))
    return good / f"events.{form}", other / f"events.{form}"


def _program(bench: Bench, function: str, **given: Any) -> tuple[measure.Run, Mapping[str, Any]]:
    with bench.folder() as folder:
        taken = measure.run(measure.program("ingest", function, folder=str(folder), **given))
        return taken, {**taken.output, **answers.of_parquet({"good rows": (folder / "rows.parquet", VALUES)})}


def _compare(case: str, planted: str, _: str, ours: Mapping[str, Any], peer: Mapping[str, Any]) -> None:
    answers.check_equal(ours, peer, f"ingest, {case}")
    answers.check_equal(ours, {"broken rows": planted}, f"ingest, {case}, what was planted")


def digest_of_rows(planted: bytes) -> str:
    lines = planted.count(b"\n")
    return f"{lines} rows {hashlib.sha256(planted).hexdigest()}"


# The programs --------------------------------------------------------------------------------------------


def ours(file: str, form: str, folder: str, source: Mapping[str, Any] | None = None) -> dict[str, str]:
    import polars as pl
    import pyarrow as pa  # noqa: F401  an import that would be counted as work where it is first used

    from sessions_platform.contracts.sources import FilesSource
    from sessions_platform.sources.files.reader import FileReading
    from sessions_platform.sources.formats.registry import open_format
    from sessions_platform.storage.lake.prefetch import prefetch, prefetch_map
    from sessions_platform.transforms.parse.parse import parse_and_observe

    shop = stream(files=f"*.{form}", **(source or {}))
    place = {"landing_partition": pl.lit("2026-01-01"), "source_uri": pl.lit("events")}
    measure.mark("ready")
    assert isinstance(shop.source, FilesSource)
    reading = FileReading(Path(file), shop.source, open_format(shop.source), _keep_nothing)
    reading.keeps_fields = True

    def read(block: pl.DataFrame) -> pl.DataFrame:
        return parse_and_observe(block.with_columns(**place), shop)[0]

    parsed = list(prefetch_map(read, prefetch(reading)))
    del reading  # and the process that reads Parquet with it
    measure.mark("done")
    rows = pl.concat(parsed)
    is_broken = pl.col("parse_errors").list.len() > 0
    rows.filter(~is_broken).select(COLUMNS).write_parquet(Path(folder) / "rows.parquet")
    broken = rows.filter(is_broken).select("position", "payload").sort("position").iter_rows()
    return {"broken rows": digest_of_rows(b"".join(b"%d\t%s\n" % row for row in broken))}


def _keep_nothing(_: Any) -> str:
    raise RuntimeError("the file could not be read to its end")


def polars(file: str, form: str, folder: str) -> None:
    import polars as pl

    schema = {**dict.fromkeys(COLUMNS, pl.String()), "amount": pl.Float64()}
    measure.mark("ready")
    if form == "ndjson":
        rows = pl.read_ndjson(file, schema=schema)
    elif form == "csv":
        rows = pl.read_csv(file, schema=schema)
    else:
        rows = pl.read_parquet(file)
    measure.mark("done")
    rows.write_parquet(Path(folder) / "rows.parquet")
