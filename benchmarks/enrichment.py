"""Enrichments: what they add to a million events, against the core job of as many.

Each twentieth event brings a user agent, an address, a referrer and a page's URL of its own, in no order; a third of
the pages' URLs have parameters. What counts is CPU: of ours the stage's alone, of the core job its whole process. There
is no answer to compare; that values are right is what the tests of enrichments show.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.bench import Bench, in_turn
from benchmarks.core import program as core_program
from benchmarks.results import Comparison, Result
from benchmarks.stream import definition

ROWS = 1_000_000
ENRICH: dict[str, dict[str, Any]] = {
    "user_agent": {},
    "geo": {"database": "country.mmdb", "keep_ip": True},
    "referrer": {"own_hosts": ["shop.example"], "ignore": ["paypal.com"]},
    "campaign": {},
    "channel": {},
}
CASES = {"user agents and addresses": ["user_agent", "geo"], "all of the web": [*ENRICH]}


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    events, web = bench.cache.get("parquet", rows) / "events.parquet", bench.cache.get("web", rows)
    for case, names in CASES.items():
        bench.say(f"  {case}")
        programs = {"ours": partial(_program, web, names), "core": partial(core_program, bench, events, "ours", {})}
        taken = in_turn(bench, programs, lambda *_: None)
        about = f"{case}: the stage's CPU against that of the core job of as many events"
        yield Comparison(f"enrichment/{case}", about, rows, taken["ours"], taken["core"], "work", ("cpu",))


def _program(web: Path, names: list[str]) -> tuple[measure.Run, Mapping[str, Any]]:
    taken = measure.run(measure.program("enrichment", "ours", folder=str(web), names=names))
    return replace(taken, cpu=taken.output["cpu"]), taken.output


def ours(folder: str, names: list[str]) -> dict[str, float]:
    """Enrich the events in runs of the size that validation hands on, and count what the metadata show."""
    import polars as pl
    import pyarrow as pa  # noqa: F401  # validation has loaded it by then, and in the core job it is counted

    from sessions_platform.contracts.enrichments import ENRICHMENTS
    from sessions_platform.contracts.events import event_columns
    from sessions_platform.contracts.stream import Stream
    from sessions_platform.pipeline.enrich import enrich
    from sessions_platform.pipeline.enrichment_tally import EnrichmentTally
    from sessions_platform.transforms.sort_events import PART_ROWS

    place = {"folder": Path(folder), "home": Path(folder)}
    stated = definition()
    columns = {**stated["columns"], **{name: {"nullable": True} for name in ("user_agent", "ip")}}
    chosen = {name: ENRICHMENTS[name].model_validate(ENRICH[name], context=place) for name in names}
    shop = Stream.model_validate({**stated, "columns": columns, "enrich": chosen})
    events = pl.read_parquet(Path(folder) / "events.parquet")
    added = {name for config in chosen.values() for name in config.added}
    others = {name: kind for name, kind in event_columns(shop).items() if name not in {*events.columns, *added}}
    events = events.with_columns(pl.lit(None, kind).alias(name) for name, kind in others.items())
    measure.mark("ready")
    tally = EnrichmentTally(shop)
    for _ in enrich(events.iter_slices(PART_ROWS), shop, tally):
        pass
    tally.records()
    measure.mark("done")
    marks = measure.marks()
    return {"cpu": marks["done"]["cpu"] - marks["ready"]["cpu"]}
