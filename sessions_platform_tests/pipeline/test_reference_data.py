"""A value has to be in its reference; a reference that can't be read stops the run and rejects nothing."""

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sessions_platform.errors import UserError
from sessions_platform.operations.status import pending_landing_partitions, status, validated_with_older_references
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.reference_data import read_references
from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, table
from sessions_platform_tests.streams import DAY_ONE, PLAIN

LANDING, NEXT = "2026-01-01", "2026-01-02"


@pytest.fixture
def shop(open_context: Callable[..., StreamContext], tmp_path: Path) -> Callable[..., StreamContext]:
    """Makes a stream whose products stand in a reference; files are in the test's own folder."""

    def make(kind: str = "string", **reference: str) -> StreamContext:
        column = {"type": kind, "nullable": True, "references": {"column": "id", **reference}}
        context = open_context(columns={**PLAIN["columns"], "product_id": column})
        stream = context.stream.model_copy(update={"path": tmp_path / "streams" / "shop.yaml"})
        stream.path.parent.mkdir(exist_ok=True)
        return replace(context, stream=stream)

    return make


def write(shop: StreamContext, content: bytes | str, name: str = "products.csv") -> Path:
    path = shop.stream.path.parent / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def land_products(shop: StreamContext, *products: Any, day: str = LANDING) -> None:
    put(shop, f"{day}.ndjson", [line("ann", DAY_ONE, f"{day} {n}", product_id=p) for n, p in enumerate(products)], day)


def unknown(shop: StreamContext) -> list[str]:
    """The values that were rejected as unknown, and nothing else was."""
    reasons = [reason for row in table(shop, "rejected_events") for reason in row["reasons"]]
    assert {reason["code"] for reason in reasons} <= {"unknown_reference"}
    return sorted(reason["value"] for reason in reasons)


def invalid(shop: StreamContext) -> str:
    """The message of the error; nothing was published."""
    with pytest.raises(UserError) as caught:
        ingest_and_publish(shop, LANDING)
    assert shop.ledger.landings() == []
    return str(caught.value)


def parquet(folder: Path, **columns: Any) -> bytes:
    pq.write_table(pa.table(columns), folder / "some.parquet")
    return (folder / "some.parquet").read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("products.csv", 'name,id\r\n"apples, red",A1\r\nbread,"B2"\r\nnothing,\r\n'),
        ("products.csv.gz", gzip.compress(b"id\nA1\nB2\n\n", mtime=0)),
        ("products.ndjson", '{"id": "A1"}\n{"id": "B2", "name": "bread"}\n{"id": null}\n\n'),
        ("products.jsonl", '{"id": "A1"}\n{"id": "B2"}\n{"id": "A1"}'),
    ],
)
def test_a_reference_is_a_file_of_any_format(
    shop: Callable[..., StreamContext], name: str, content: bytes | str
) -> None:
    context = shop(file=name)
    write(context, content, name)
    land_products(context, "A1", "B2", None, "C3", "a1", "A1 ")
    ingest_and_publish(context, LANDING)
    assert unknown(context) == ["A1 ", "C3", "a1"]
    assert context.events([LANDING]).rows == 3


def test_a_reference_may_be_parquet_and_its_numbers_are_read_as_those_of_events(
    shop: Callable[..., StreamContext], tmp_path: Path
) -> None:
    context = shop("integer", file="products.parquet")
    write(context, parquet(tmp_path, id=[7, 8, None]), "products.parquet")
    land_products(context, 7, "8", "08", 9)
    ingest_and_publish(context, LANDING)
    assert unknown(context) == ["9"]


def test_a_reference_may_be_a_table_of_the_warehouse(
    shop: Callable[..., StreamContext], administrator: Database
) -> None:
    context = shop("integer", table="sales.products")
    with administrator.transaction() as connection:
        connection.execute("create schema if not exists sales")
        connection.execute("create table sales.products as select * from (values (7), (8), (null)) as known (id)")
    land_products(context, 7, 9, None)
    try:
        ingest_and_publish(context, LANDING)
        assert unknown(context) == ["9"]
        before = read_references(context).digests
        with administrator.transaction() as connection:
            connection.execute("insert into sales.products values (9)")
        assert validated_with_older_references(context) == [LANDING]
        assert read_references(context).digests != before
    finally:
        with administrator.transaction() as connection:
            connection.execute("drop schema sales cascade")


def test_one_file_may_serve_several_columns(open_context: Callable[..., StreamContext], tmp_path: Path) -> None:
    column = {"nullable": True, "references": {"file": str(tmp_path / "ids.csv"), "column": "id"}}
    context = open_context(columns={**PLAIN["columns"], "a": column, "b": {**column, "type": "integer"}})
    (tmp_path / "ids.csv").write_text("id\n1\n02\n")
    put(context, "a", [line("ann", DAY_ONE, str(n), a=n, b=n) for n in (1, 2, 3)], LANDING)
    ingest_and_publish(context, LANDING)
    rejected_columns = {
        row["position"]: {reason["column"] for reason in row["reasons"]} for row in table(context, "rejected_events")
    }
    assert rejected_columns == {2: {"a"}, 3: {"a", "b"}}


# What can't be looked up in --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "No such file or directory", id="no file"),
        pytest.param("", "has no values", id="empty"),
        pytest.param("id\n", "has no values", id="a header alone"),
        pytest.param("name\napples\n", "has no values", id="no such column"),
        pytest.param("id,name\nA1\n", "row 1: the row has 1 fields, the header names 2", id="a short row"),
        pytest.param(b"id\n\xff\n", "row 1: is not UTF-8", id="another encoding"),
        pytest.param(
            gzip.compress(b"id\nA1\n", mtime=0)[:-4], "row 2: the file ends in the middle of its gzip", id="cut off"
        ),
        pytest.param("id\nA\0\n", "holds U+0000", id="text that can't be stored"),
    ],
)
def test_a_file_that_cannot_be_read_stops_the_run(
    shop: Callable[..., StreamContext], content: bytes | str | None, reason: str
) -> None:
    context = shop(file="products.csv")
    if content is not None:
        write(context, content)
    land_products(context, "A1")
    message = invalid(context)
    assert message.startswith(f"{context.stream.path}: columns.product_id.references: ")
    assert reason in message
    assert "Fix: " in message


def test_a_value_of_another_type_stops_the_run(shop: Callable[..., StreamContext]) -> None:
    context = shop("integer", file="products.csv")
    write(context, "id\n7\nB2\n")
    land_products(context, 7)
    assert "products.csv, column id has the value 'B2', which is not of type integer. Fix: " in invalid(context)


@pytest.mark.parametrize(
    ("table_name", "column"), [("nowhere.products", "id"), ("public.nothing", "id"), ("pg_catalog.pg_class", "id")]
)
def test_a_table_that_cannot_be_read_stops_the_run(
    shop: Callable[..., StreamContext], table_name: str, column: str
) -> None:
    context = shop(table=table_name, column=column)
    land_products(context, "A1")
    message = invalid(context)
    assert f"the table {table_name} can't be read" in message
    assert "does not exist" in message


# Another state of the reference ----------------------------------------------------------------------------


def test_a_changed_reference_is_reported_and_validates_only_requested_partitions(
    shop: Callable[..., StreamContext],
) -> None:
    context = shop(file="products.csv")
    write(context, "id\nA1\n")
    for day in (LANDING, NEXT):
        land_products(context, "A1", "B2", day=day)
        ingest_and_publish(context, day)
    assert status(context)["validated_with_older_references"] == []
    write(context, "id\nA1\nB2\n")
    assert pending_landing_partitions(context) == []
    assert status(context)["validated_with_older_references"] == [LANDING, NEXT]
    assert unknown(context) == ["B2", "B2"]
    ingest_and_publish(context, LANDING)
    assert unknown(context) == ["B2"]
    assert status(context)["validated_with_older_references"] == [NEXT]


def test_the_same_values_have_the_same_digest_however_they_are_written(shop: Callable[..., StreamContext]) -> None:
    context = shop(file="products.csv")
    write(context, "id\nA1\nB2\n")
    land_products(context, "A1")
    ingest_and_publish(context, LANDING)
    write(context, "name,id\nbread,B2\napples,A1\nmore apples,A1\n")
    assert validated_with_older_references(context) == []


def test_a_stream_without_references_reads_none(context: StreamContext) -> None:
    assert read_references(context).digests == {}
    ingest_and_publish(context, LANDING)
    assert status(context)["validated_with_older_references"] == []
