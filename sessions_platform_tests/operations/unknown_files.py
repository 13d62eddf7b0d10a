"""Files of unknown kind, as producers write them: the same visits in twenty spellings.

Each maker writes a file, or several, into a folder. What a stream is to make of them is in `test_init`.
"""

import bz2
import gzip
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from pyarrow import orc

ROWS = 400
_BEGIN = datetime(2026, 1, 5, 8, tzinfo=UTC)
_KINDS = ("view", "search", "cart", "buy")


@dataclass(frozen=True)
class Visit:
    """One event, before it is written."""

    id: str
    user: str
    at: datetime
    kind: str
    url: str
    amount: float | None


def visits() -> Iterator[Visit]:
    """The same events every time: users who come and go over two days."""
    chosen = random.Random(16)
    at = _BEGIN
    for _ in range(ROWS):
        at += timedelta(seconds=chosen.randint(1, 600), milliseconds=chosen.randint(0, 999))
        kind = chosen.choice(_KINDS)
        amount = round(chosen.uniform(1, 90), 2) if kind == "buy" else None
        yield Visit(
            str(UUID(int=chosen.getrandbits(128))), f"u{chosen.randint(1, 60):04}", at, kind,
            f"/shop/{kind}?p={chosen.randint(1, 9)}", amount,
        )  # fmt: skip


Maker = Callable[[Path], list[Path]]
MAKERS: dict[str, Maker] = {}


def maker(make: Maker) -> Maker:
    """Enters a maker under its name, as words."""
    MAKERS[make.__name__.replace("_", " ")] = make
    return make


def _written(folder: Path, name: str, content: bytes | str) -> list[Path]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [path]


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lines(rows: Iterator[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


# CSV -----------------------------------------------------------------------------------------------------


@maker
def csv_with_semicolons_and_decimal_commas_of_days_first(folder: Path) -> list[Path]:
    head = "Kunde;Zeitpunkt;Aktion;Betrag;user_id\n"
    rows = (
        f'"Müller; {v.user}";{v.at:%d.%m.%Y %H:%M:%S};{v.kind};{f"{v.amount or 0:.2f}".replace(".", ",")};{v.user}'
        for v in visits()
    )
    return _written(folder, "export.csv", (head + _lines(rows)).encode("cp1252"))


@maker
def csv_between_bars_in_gzip_with_epoch_seconds(folder: Path) -> list[Path]:
    rows = (f"{v.id}|{v.user}|{int(v.at.timestamp())}|{v.kind}|{v.url}" for v in visits())
    return _written(folder, "events-2026-01-08.csv.gz", gzip.compress(f"id|uid|ts|action|url\n{_lines(rows)}".encode()))


@maker
def csv_with_mixed_words_for_null(folder: Path) -> list[Path]:
    words = ("NULL", "\\N", "", "N/A", "-", "NA")
    rows = (
        f"{v.user if n % 3 else words[n % 6]},anon-{v.user},{_iso(v.at)},{v.kind},{v.amount or words[(n + 1) % 6]}"
        for n, v in enumerate(visits())
    )
    return _written(folder, "e.csv", f"user_id,anonymous_id,timestamp,event,amount\n{_lines(rows)}")


@maker
def tsv_without_a_header(folder: Path) -> list[Path]:
    rows = (f"{v.at:%Y-%m-%d %H:%M:%S}\t{v.user}\t{v.kind}\t{v.url}" for v in visits())
    return _written(folder, "dump.txt", _lines(rows))


@maker
def a_data_feed_of_tabs_with_its_names_in_a_file(folder: Path) -> list[Path]:
    names = ["hit_time_gmt", "post_visid_high", "post_visid_low", "hitid_high", "hitid_low", "page_event",
             "page_url", "exclude_hit", "evar1"]  # fmt: skip
    _written(folder, "column_headers.tsv", "\t".join(names) + "\n")
    rows = (
        f"{int(v.at.timestamp())}\t{v.user[1:]}77\t9{v.user[1:]}\t{n}01\t{n}02\t{_KINDS.index(v.kind)}\t{v.url}\t0\ta\\\tb"
        for n, v in enumerate(visits())
    )
    return _written(folder, "01-feed_20260108-000000.tsv", _lines(rows))


@maker
def columns_of_blanks_with_notes(folder: Path) -> list[Path]:
    rows = (f"{v.user:10}  {v.at:%Y-%m-%dT%H:%M:%S}   {v.kind}" for v in visits())
    return _written(folder, "x.dat", f"# written by nightly\nuser        when   what\n{_lines(rows)}")


@maker
def csv_with_date_and_time_in_two_columns_and_spaces(folder: Path) -> list[Path]:
    rows = (f"{v.user}, {v.at:%m/%d/%Y}, {v.at:%H:%M:%S}, {v.kind}" for v in visits())
    return _written(folder, "clicks.csv", f"customer_id,date,time,event_name\n{_lines(rows)}")


# JSON ----------------------------------------------------------------------------------------------------


def _event(v: Visit) -> dict[str, Any]:
    return {"messageId": v.id, "user": {"id": v.user}, "event": v.kind, "timestamp": _iso(v.at), "page": {"url": v.url}}


@maker
def ndjson_nested_with_epoch_milliseconds(folder: Path) -> list[Path]:
    events = ({**_event(v), "timestamp": int(v.at.timestamp() * 1000), "tags": ["a"], "n": n % 5}
              for n, v in enumerate(visits()))  # fmt: skip
    return _written(folder, "part-0.json", _lines(json.dumps(event) for event in events))


@maker
def one_json_array_pretty_printed(folder: Path) -> list[Path]:
    return _written(folder, "all.json", json.dumps([_event(v) for v in visits()], indent=2))


@maker
def ndjson_of_envelopes_with_the_user_outside(folder: Path) -> list[Path]:
    by_user: dict[str, list[dict[str, Any]]] = {}
    for v in visits():
        by_user.setdefault(v.user, []).append({"type": v.kind, "ts": v.at.timestamp(), "props": {"url": v.url}})
    bodies = ({"sentAt": "2026-01-07T00:00:00Z", "userId": user, "batch": events} for user, events in by_user.items())
    return _written(folder, "bodies.log", _lines(json.dumps(body) for body in bodies))


@maker
def a_document_with_its_events_deep_inside_in_zstd(folder: Path) -> list[Path]:
    document = {"meta": {"pages": 1}, "data": {"items": [_event(v) for v in visits()]}}
    return _written(folder, "answer.json.zst", zstandard.compress(json.dumps(document, indent=1).encode()))


@maker
def objects_that_follow_each_other(folder: Path) -> list[Path]:
    return _written(folder, "stream.out", "".join(json.dumps(_event(v), indent=1) for v in visits()))


@maker
def members_of_a_zip(folder: Path) -> list[Path]:
    content, events = io.BytesIO(), [json.dumps(_event(v)) for v in visits()]
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(f"day/{number}.ndjson", "\n".join(events[number::4]))
    return _written(folder, "export.zip", content.getvalue())


@maker
def members_of_a_tar_in_gzip_that_are_packed_themselves(folder: Path) -> list[Path]:
    content = io.BytesIO()
    rows = _lines(f"{v.user},{int(v.at.timestamp() * 1e6)},{v.kind}" for v in visits())
    packed = bz2.compress(f"visitor_id,event_time,event_type\n{rows}".encode())
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        member = tarfile.TarInfo("a/events.csv.bz2")
        member.size = len(packed)
        archive.addfile(member, io.BytesIO(packed))
    return _written(folder, "export.tgz", content.getvalue())


# Logs ----------------------------------------------------------------------------------------------------


def _request(v: Visit, n: int) -> str:
    return '"-"' if n % 80 == 7 else f'"GET {v.url} HTTP/1.1"'


@maker
def an_access_log_in_the_combined_format(folder: Path) -> list[Path]:
    rows = (
        f"10.0.0.{int(v.user[1:])} - {v.user if n % 9 == 0 else '-'} [{v.at:%d/%b/%Y:%H:%M:%S} +0000] "
        f'{_request(v, n)} 200 {n} "-" "Mozilla/5.0 (X11)"'
        for n, v in enumerate(visits())
    )
    return _written(folder, "access.log-20260108", _lines(rows))


@maker
def a_w3c_log(folder: Path) -> list[Path]:
    fields = "#Software: IIS\n#Version: 1.0\n#Fields: date time c-ip cs-username cs-method cs-uri-stem sc-status\n"
    rows = (f"{v.at:%Y-%m-%d %H:%M:%S} 10.0.0.{int(v.user[1:])} - GET {v.url.partition('?')[0]} 200" for v in visits())
    return _written(folder, "u_ex260105.log", fields + _lines(rows))


@maker
def logfmt_lines(folder: Path) -> list[Path]:
    east = timedelta(hours=2)
    rows = (
        f'ts={v.at + east:%Y-%m-%dT%H:%M:%S}+02:00 level=info user={v.user} msg={v.kind} path="{v.url}"'
        for v in visits()
    )
    return _written(folder, "app.log", _lines(rows))


# Files with types ----------------------------------------------------------------------------------------


def _table(**times: Any) -> pa.Table:
    every = list(visits())
    return pa.table({
        "event_id": [v.id for v in every], "user_id": [v.user for v in every], "event_name": [v.kind for v in every],
        "amount": [v.amount for v in every], "day": [v.at.date() for v in every],
        **{name: pa.array([v.at for v in every], kind) for name, kind in times.items()},
    })  # fmt: skip


@maker
def parquet_with_typed_times(folder: Path) -> list[Path]:
    content = io.BytesIO()
    pq.write_table(_table(event_time=pa.timestamp("us", "UTC"), updated_at=pa.timestamp("ms")), content)
    return _written(folder, "part-00000.snappy.parquet", content.getvalue())


@maker
def orc_with_local_times(folder: Path) -> list[Path]:
    content = io.BytesIO()
    orc.write_table(_table(event_time=pa.timestamp("us")), content)
    return _written(folder, "000000_0", content.getvalue())


@maker
def avro_with_microseconds(folder: Path) -> list[Path]:
    at: Any = {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}}
    names = ("client_id", "action", "screen")
    fields = [at, *({"name": name, "type": ["null", "string"]} for name in names)]
    content = io.BytesIO()
    rows = [{"ts": v.at, "client_id": v.user, "action": v.kind, "screen": v.url} for v in visits()]
    fastavro.writer(content, {"type": "record", "name": "e", "fields": fields}, rows, codec="deflate")
    return _written(folder, "topic.avro", content.getvalue())


@maker
def arrow_with_epochs_in_integers(folder: Path) -> list[Path]:
    content = io.BytesIO()
    table = _table().append_column("ts", pa.array([int(v.at.timestamp() * 1e6) for v in visits()]))
    with pa.ipc.new_stream(content, table.schema) as writer:
        writer.write_table(table)
    return _written(folder, "batch.arrows", content.getvalue())


@maker
def ndjson_with_parameters_in_a_list(folder: Path) -> list[Path]:
    """As Google Analytics 4 exports events to BigQuery."""

    def row(visit: Visit) -> str:
        params: list[dict[str, Any]] = [
            {"key": "page_location", "value": {"string_value": visit.url}},
            {"key": "engagement", "value": {"int_value": str(visit.at.second)}},
        ]
        if visit.amount is not None:
            params.append({"key": "value", "value": {"double_value": visit.amount}})
        micros = int(visit.at.timestamp() * 1e6)
        event = {"event_date": f"{visit.at:%Y%m%d}", "event_timestamp": str(micros), "event_name": visit.kind}
        return json.dumps({**event, "event_params": params, "user_pseudo_id": visit.user})

    return _written(folder, "events_20260105.json", _lines(row(visit) for visit in visits()))
