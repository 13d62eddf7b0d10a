"""`lookup`: columns of a table beside the stream's file, for the key of an event."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.lookups import Lookup
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.errors import UserError
from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.transforms.enrich.registry import open_enrichment
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import put, run_pending, table, validated
from sessions_platform_tests.streams import DAY_ONE, PLAIN

PRODUCTS = "product_id,category,price\np1,shoes,59.5\np2,hats,\n"
COLUMNS = {**PLAIN["columns"], "product_id": {"nullable": True}, "shelf": {"type": "integer", "nullable": True}}
TAKE = {"category": "string", "price": "float"}


def loaded(folder: Path, content: str | bytes = PRODUCTS, name: str = "products.csv", **keys: Any) -> Stream:
    """A stream's file beside a table."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    lookup = {"table": name, "key": "product_id", "take": TAKE, **keys}
    path = folder / "web.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, "columns": COLUMNS, "enrich": {"lookup": lookup}}))
    return load_stream(path, folder)


def values(stream: Stream, **inputs: list[Any]) -> list[tuple[Any, ...]]:
    events = pl.DataFrame(inputs)
    for config in stream.enrich.values():
        events = open_enrichment(config).enrich(events)
    return events.drop(*inputs).rows()


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
def test_an_event_has_the_columns_of_its_key(tmp_path: Path, form: str) -> None:
    content: Any = PRODUCTS
    if form == "csv.gz":
        content = gzip.compress(PRODUCTS.encode())
    if form == "parquet":
        rows = {"product_id": ["p1", "p2"], "category": ["shoes", "hats"], "price": [59.5, None]}
        pl.DataFrame(rows).write_parquet(tmp_path / "t.parquet")
        content = (tmp_path / "t.parquet").read_bytes()
    stream = loaded(tmp_path, content, f"products.{form}")
    assert values(stream, product_id=["p2", "p1", "p9", None, "p1"]) == [
        ("hats", None),
        ("shoes", 59.5),
        (None, None),
        (None, None),
        ("shoes", 59.5),
    ]


def test_a_key_has_the_type_of_the_events_column_and_a_list_takes_texts(tmp_path: Path) -> None:
    keys = {"key": "Nr", "from": "shelf", "take": ["aisle"]}
    stream = loaded(tmp_path, "Nr,aisle\n007,12\n8,left\n", **keys)
    assert values(stream, shelf=[7, 8, 70]) == [("12",), ("left",), (None,)]


def test_a_column_may_be_taken_under_another_name_and_several_tables_may_be_named(tmp_path: Path) -> None:
    loaded(tmp_path)
    both = [
        {"table": "products.csv", "key": "product_id", "take": {"kind": {"from": "category"}}},
        {"table": "products.csv", "key": "product_id", "take": {"costs": {"from": "price", "type": "float"}}},
    ]
    (tmp_path / "web.yaml").write_text(yaml.safe_dump({**PLAIN, "columns": COLUMNS, "enrich": {"lookup": both}}))
    stream = load_stream(tmp_path / "web.yaml", tmp_path)
    assert values(stream, product_id=["p1"]) == [("shoes", 59.5)]
    assert list(stream.enrich) == ["lookup", "lookup_2"]


@pytest.mark.parametrize(
    ("content", "keys", "problem"),
    [
        ("product_id,category,price\np1,a,1\np2,b,2\np1,c,3\n", {}, "several rows have 'p1' as 'product_id'"),
        ("product_id,category,price\np1,a,1\n,b,2\n", {}, "row 2 has no 'product_id'. Fix: state it"),
        ("product_id,category,price\np1,a,cheap\n", {}, "row 1 has 'cheap' in 'price', which is no float. Fix:"),
        ("product_id,category,price\np1,a,inf\n", {}, "row 1 has 'inf' in 'price', which is no float"),
        ("id,category,price\np1,a,1\n", {}, "has no column 'product_id', but id, category, price. Fix: name one"),
        ("product_id,category,price\n7,a,1\n07,b,1\n", {"from": "shelf"}, "several rows have '7' as 'product_id'"),
        ("product_id,category,price\na,b,c,d,e\n", {}, "can't be read: "),
        (b"product_id,category,price\np\xff,b,1\n", {}, "Fix: save it as CSV in UTF-8 with a header, or as Parquet."),
        (PRODUCTS, {"table": "none.csv"}, "none.csv can't be read: No such file or directory. Fix: put the file"),
        (PRODUCTS, {"table": "products.xlsx"}, "enrich.lookup.table: the suffix of 'products.xlsx' names no format"),
        (PRODUCTS, {"take": ["product_id"]}, "lookup adds the column product_id, which there is already"),
        (PRODUCTS, {"from": "sku"}, "there is no column 'sku' to read from"),
        (PRODUCTS, {"from": "event_timestamp"}, "event_timestamp is not usable, for it is of type timestamp"),
        (PRODUCTS, {"as_of": "category"}, "row 1 has 'shoes' in 'category', which is no timestamp"),
        (PRODUCTS, {"take": {"price": "money"}}, "enrich.lookup.take.price"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_is_a_sentence_when_the_stream_is_read(
    tmp_path: Path, content: str | bytes, keys: dict[str, Any], problem: str
) -> None:
    with pytest.raises(StreamError) as error:
        loaded(tmp_path, content, **keys)
    assert problem in str(error.value)
    assert "web.yaml:" in str(error.value)


SECONDS = {
    "enrich.lookup.2.take: the key is missing": {"take": None},
    "enrich.lookup.2.table: the suffix of 'products.xlsx' names no format": {"table": "products.xlsx"},
    "enrich.lookup.2.kye: the key is not known": {"kye": "sku"},
    "enrich.lookup.2.take: 7 is not": {"take": 7},
    "enrich.lookup.2: lookup adds the column category, which there is already": {"take": ["category"]},
    "enrich.lookup.2: there is no column 'sku' to read from": {"from": "sku"},
    "enrich.lookup.2: ip is not usable, for it is of type boolean": {"from": "ip"},
    "enrich.lookup.2: ": {"table": "none.csv"},
}


@pytest.mark.parametrize("problem", SECONDS)
def test_what_is_wrong_with_the_second_of_two_tables_has_its_number_and_line(tmp_path: Path, problem: str) -> None:
    loaded(tmp_path)
    first = {"table": "products.csv", "key": "product_id", "take": ["category"]}
    second = {**first, "take": {"price": "float"}, **SECONDS[problem]}
    second = {key: value for key, value in second.items() if value is not None}
    path = tmp_path / "web.yaml"
    stated = {**PLAIN, "columns": {**COLUMNS, "ip": {"type": "boolean"}}, "enrich": {"lookup": [first, second]}}
    path.write_text(yaml.safe_dump(stated, sort_keys=False))
    with pytest.raises(StreamError) as error:
        load_stream(path, tmp_path)
    assert problem in str(error.value)
    (found,) = error.value.problems
    lines = path.read_text().splitlines()
    assert (found.line or 0) > lines.index("  - table: products.csv") + 1


@pytest.mark.parametrize("kind", ["lookup", "python"])
def test_a_list_of_no_tables_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(yaml.safe_dump({**PLAIN, "enrich": {kind: []}}))
    with pytest.raises(StreamError, match=rf"enrich\.{kind}: it lists none, and so adds nothing\. Fix: list one"):
        load_stream(path, tmp_path)


HOURS = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(24)]


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(HOURS)), unique=True, max_size=12
    ),
    events=st.lists(st.tuples(st.sampled_from([*"abcd", None]), st.sampled_from(HOURS)), min_size=1),
)  # fmt: skip
def test_as_of_takes_the_row_that_held_at_the_events_time(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, datetime]], events: list[tuple[Any, datetime]]
) -> None:
    folder = tmp_path_factory.mktemp("as_of")
    lines = [f"{key},{since.isoformat()},{place}" for place, (key, since) in enumerate(rows)]
    (folder / "prices.csv").write_text("\n".join(["key,since,price", *lines, ""]))
    keys = {"table": "prices.csv", "key": "key", "as_of": "since", "take": {"price": "integer"}}
    config = Lookup.model_validate(keys, context={"folder": folder, "home": folder})
    frame = pl.DataFrame(events, schema={"key": pl.String, "event_timestamp": pl.Datetime("us", "UTC")}, orient="row")
    found = open_enrichment(config).enrich(frame)["price"].to_list()
    assert found == [_price_of_oracle(rows, key, at) for key, at in events]


def _price_of_oracle(rows: list[tuple[str, datetime]], key: str | None, at: datetime) -> int | None:
    held = [(since, place) for place, (of, since) in enumerate(rows) if of == key and since <= at]
    return max(held)[1] if held else None


def test_a_date_without_time_holds_from_its_midnight(tmp_path: Path) -> None:
    stream = loaded(tmp_path, "product_id,since,price\np1,2026-01-02,5\n", as_of="since", take={"price": "float"})
    times = [datetime(2026, 1, 1, 23, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)]
    assert values(stream, product_id=["p1", "p1"], event_timestamp=times) == [(None,), (5.0,)]


@pytest.mark.slow
def test_a_changed_table_changes_the_sessions_whose_values_are_others_and_no_more(
    tmp_path: Path, settings: Settings, open_context: Callable[..., StreamContext]
) -> None:
    def opened(source: Any, content: str) -> StreamContext:
        lookup = loaded(tmp_path, content).enrich
        changes = {"columns": COLUMNS, "enrich": lookup, "session": {"columns": {"spent": {"sum": "price"}}}}
        return StreamContext.open(Stream.model_validate({**PLAIN, **changes}), settings, source)

    context = opened(open_context().source, PRODUCTS)
    users = {"ann": "p1", "bob": "p2", "cid": "p9"}
    lines = [line(user, DAY_ONE, user, product_id=key) for user, key in users.items()]
    put(context, "1", lines, "2026-01-01")
    run_pending(context)
    before = {row["user_id"]: row for row in table(context)}
    assert {user: row["spent"] for user, row in before.items()} == {"ann": 59.5, "bob": None, "cid": None}
    assert pending_landing_partitions(context) == []

    context = opened(context.source, PRODUCTS + "p9,bags,7\n")
    assert pending_landing_partitions(context) == ["2026-01-01"]
    run_pending(context)
    after = {row["user_id"]: row for row in table(context)}
    assert {user: row["spent"] for user, row in after.items()} == {"ann": 59.5, "bob": None, "cid": 7.0}
    assert [user for user, row in after.items() if row["loaded_at"] > before[user]["loaded_at"]] == ["cid"]
    changes = [(row["session_id"], row["change"]) for row in table(context, "session_changes")]
    assert [change for change in changes if change[1] != "appeared"] == [(after["cid"]["session_id"], "changed")]


def test_what_a_table_lacks_is_counted_and_shown(tmp_path: Path, open_context: Callable[..., StreamContext]) -> None:
    context = open_context(columns=COLUMNS, enrich=loaded(tmp_path).enrich)
    keys = ["p1", "p9", "p1", "p9", "p8", None]
    put(context, "1", [line("ann", DAY_ONE, str(n), product_id=key) for n, key in enumerate(keys)], "2026-01-01")
    run_pending(context)
    category, price = validated(context, "2026-01-01").enriched
    assert (category["filled"], category["of"], category["percent"]) == (2, 6, 33.33)
    assert (category["most_frequent"], category["inputs_without_value"]) == ("shoes 2", 3)
    assert (category["such_as"], price["column"]) == ("p9 2, p8 1", "price")


def test_a_table_that_changes_between_the_reading_of_the_stream_and_the_run_is_not_taken(tmp_path: Path) -> None:
    stream = loaded(tmp_path)
    assert stream.contract_version
    (tmp_path / "products.csv").write_text(PRODUCTS + "p3,bags,1\n")
    with pytest.raises(UserError, match=r"products.csv has changed since the stream's file was read. Fix: run again"):
        values(stream, product_id=["p1"])
