"""HTTP APIs as a source, on a real server: which pages are asked for, what is read of them, and what is said."""

import json
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.contracts.http_source import Since
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.operations.freshness import freshness
from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import Ingested, ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.base import Slice, unread
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.http import page as http_page
from sessions_platform.sources.http import source as http_source
from sessions_platform.sources.http.source import HttpApi, PageReading
from sessions_platform_tests.pipeline.steps import ingest_and_publish, refresh, table
from sessions_platform_tests.sources.api_server import Api, Asked, Reply, serving
from sessions_platform_tests.sources.stream_files import mistake
from sessions_platform_tests.streams import stream

DAY_ONE, DAY_TWO = "2026-01-01", "2026-01-02"
pytestmark = pytest.mark.usefixtures("on_day_one")
COLUMNS: dict[str, Any] = {
    "event_id": {"from": "id"},
    "user_id": {"from": "user"},
    "event_timestamp": {"from": "at", "formats": ["%+"]},
    "event_type": {"from": "type"},
}


def record(number: int, at: str | None = None) -> bytes:
    moment = at or f"2026-01-01T12:{number:02}:00Z"
    return json.dumps({"id": f"e{number:03}", "user": "ann", "at": moment, "type": "view"}).encode()


RECORDS = [record(number) for number in range(25)]
# What a JSON library would alter: white space, spellings of numbers, a key twice.
ODD = [b'{ "id":"o1" , "n":1.10, "n":123456789012345678901234567890.5}', b'{"id":"o2","n":1e400,"s":"\\u00e9"}']


def array(records: Sequence[bytes]) -> bytes:
    return b"[" + b",\n ".join(records) + b"]"


def page(records: Sequence[bytes], **more: Any) -> bytes:
    rest = json.dumps(more).encode()[1:]
    return b'{"data": ' + array(records) + (b", " if more else b"") + rest


def by_link(asked: Asked) -> Reply:
    start = int(asked.params.get("start", 0))
    more = {"Link": f'</v1/events?start={start + 10}>; rel="next"'} if start + 10 < 25 else {}
    return Reply(page(RECORDS[start : start + 10]), headers=more)


def by_next_url(asked: Asked) -> Reply:
    start = int(asked.params.get("start", 0))
    following = f"/v1/events?start={start + 10}" if start + 10 < 25 else None
    return Reply(page(RECORDS[start : start + 10], paging={"next": following}))


def by_cursor(asked: Asked) -> Reply:
    start = int(asked.params.get("after", "c0")[1:])
    following = f"c{start + 10}" if start + 10 < 25 else None
    return Reply(page(RECORDS[start : start + 10], next=following))


def by_offset(asked: Asked) -> Reply:
    start = int(asked.params["offset"])
    return Reply(page(RECORDS[start : start + 7]))  # less than the limit that was asked for


def by_number(asked: Asked) -> Reply:
    start = 10 * (int(asked.params.get("page", 1)) - 1)
    return Reply(page(RECORDS[start : start + 10]))


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(by_number) as served:
        yield served


def stream_of(api: Api, **source: Any) -> Stream:
    stated = {"type": "http", "url": api.url, "records": "data", "give_up_after": "20s", **source}
    return stream(name=f"api_{api.host.rpartition(':')[2]}", source=stated, columns=COLUMNS)


def of(**keys: Any) -> pytest.MarkDecorator:
    """The keys of the source of the test's `context`."""
    return pytest.mark.parametrize("keys", [keys], indirect=True, ids=["-"])


@pytest.fixture
def keys(request: pytest.FixtureRequest) -> dict[str, Any]:
    return getattr(request, "param", {})


@pytest.fixture
def context(api: Api, settings: Settings, keys: dict[str, Any], request: pytest.FixtureRequest) -> StreamContext:
    """A stream of this API."""
    name = f"api_{abs(hash(request.node.nodeid)):x}"
    made = stream_of(api, **keys).model_copy(update={"name": name})
    return StreamContext.open(made, settings)


def read(context: StreamContext, partition: str = DAY_ONE) -> Ingested:
    return ingest(context, [partition], "run")[partition]


def payloads(context: StreamContext) -> list[bytes]:
    """All raw rows, in the order in which they were read."""
    raw = context.raw_events([DAY_ONE, DAY_TWO]).scan().collect()
    files = sorted(context.ledger.files(), key=lambda file: file.sequence or 0)
    order = {file.uri: place for place, file in enumerate(files)}
    rows = sorted(raw.iter_rows(named=True), key=lambda row: (order[row["source_uri"]], row["position"]))
    return [row["payload"] for row in rows]


WAYS = {
    "link": ({"link": True}, by_link),
    "next_url": ({"next_url": "paging.next"}, by_next_url),
    "cursor": ({"cursor": "next", "param": "after"}, by_cursor),
    "offset": ({"offset": "offset"}, by_offset),
    "number": ({"number": "page"}, by_number),
}


@pytest.mark.parametrize("way", WAYS)
def test_all_pages_are_read_once_and_byte_for_byte(api: Api, way: str) -> None:
    pages, api.answering = WAYS[way]
    source = HttpApi(stream_of(api, pages=pages, params={"limit": 10}))
    found = source.find([DAY_ONE])
    read = [row for slice_ in found for block in source.read(slice_, _no_quarantine) for row in block["payload"]]
    assert read == RECORDS
    assert all(asked.params.get("limit") == "10" or "start" in asked.params for asked in api.asked)


def test_certificates_are_read_once_and_each_page_is_digested_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    create, digest = ssl.create_default_context, http_page.digest_of
    monkeypatch.setattr(http_source, "ROUND_BYTES", 1)
    monkeypatch.setattr(ssl, "create_default_context", lambda **given: done.append("read") or create(**given))
    monkeypatch.setattr(http_page, "digest_of", lambda records: done.append("digested") or digest(records))
    pages, api.answering = WAYS["cursor"]
    source = HttpApi(stream_of(api, pages=pages))
    cursors: dict[str, Any] = {}
    while (found := source.find([DAY_ONE], cursors)) or source.has_more():
        cursors |= {slice_.cursor.name: slice_.cursor.position for slice_ in found if slice_.cursor}
    assert done.count("read") == 1
    assert done.count("digested") == len(api.asked) > 1


def test_payloads_are_the_bytes_that_came(api: Api, context: StreamContext) -> None:
    api.answering = lambda _: Reply(page(ODD))
    read(context)
    assert payloads(context) == ODD


@of(records="")
def test_a_bare_array_has_the_records_and_null_has_none(api: Api, context: StreamContext) -> None:
    api.answering = lambda _: Reply(b"null")
    assert read(context).rows == 0
    api.answering = lambda _: Reply(array(RECORDS))
    assert read(context).rows == 25


@of(pages={"number": "page"})
def test_records_become_sessions_and_are_read_once_in_a_partition(api: Api, context: StreamContext) -> None:
    assert pending_landing_partitions(context, DAY_ONE) == [DAY_ONE]
    ingest_and_publish(context, DAY_ONE)
    refresh(context)
    assert [row["event_count"] for row in table(context)] == [25]
    before = len(api.asked)
    assert read(context).read == 0
    assert len(api.asked) == before
    read(context, DAY_TWO)
    assert len(payloads(context)) == 50


@of(pages={"number": "page"})
def test_a_run_that_fails_goes_on_where_it_was(
    context: StreamContext, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_source, "ROUND_BYTES", 1)
    whole = HttpApi.read

    def failing(self: HttpApi, slice_: Slice, quarantine: Any) -> Any:
        if slice_.uri.endswith("page=00000001"):
            raise ConnectionError("the machine is gone")
        return whole(self, slice_, quarantine)

    with monkeypatch.context() as broken:
        broken.setattr(HttpApi, "read", failing)
        with pytest.raises(ConnectionError):
            read(context)
    assert payloads(context) == RECORDS[:10]
    before = len(api.asked)
    read(context)
    assert payloads(context) == RECORDS
    assert [asked.params["page"] for asked in api.asked[before:]] == ["2", "3", "4"]


class Growing:
    """An API that gives the records of a time and later."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.size = 100

    def __call__(self, asked: Asked) -> Reply:
        since = asked.params.get("since", "")
        newer = [each for each in self.records if json.loads(each)["at"] >= since]
        start = int(asked.params.get("offset", 0))
        return Reply(page(newer[start : start + self.size], total=len(newer)))


@of(since={"param": "since", "field": "at", "lag": "5m"}, pages={"offset": "offset"})
def test_newer_records_are_asked_for_and_late_ones_within_the_lag(api: Api, context: StreamContext) -> None:
    api.answering = growing = Growing()
    assert pending_landing_partitions(context, DAY_ONE) == []
    growing.records = [record(0), record(10)]
    read(context)
    assert payloads(context) == [record(0), record(10)]
    read(context)  # what lies within the lag comes once more
    assert api.asked[-1].params["since"] == "2026-01-01T12:05:00Z"
    seen = payloads(context)
    assert seen == [record(0), record(10), record(10)]
    assert read(context).read == 0
    assert context.found().slices == ()
    growing.records += [record(7)]
    read(context)
    assert record(7) in payloads(context)
    growing.records += [record(20)]
    read(context)
    assert record(20) in payloads(context)
    read(context)
    assert read(context).read == 0


@of(since={"param": "since", "field": "at", "lag": "5m"}, pages={"offset": "offset"}, total="total")
def test_what_is_unread_is_known_by_the_total_of_a_page(
    api: Api, context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_source, "ROUND_BYTES", 1)
    api.answering = growing = Growing()
    growing.size = 2
    growing.records = [record(0), record(8), record(10), record(11, "2026-01-01T12:10:00Z")]
    context.prepare()
    assert context.unread(100) == 4
    (first, *_) = context.found().slices
    assert first.cursor
    cursors = {first.cursor.name: first.cursor.position}
    assert unread(context.source, cursors, 100) == 2  # amid a sweep
    read(context)
    assert context.unread(100) == 0  # though those of the lag come again
    read(context)
    growing.records += [record(20), record(30)]
    assert context.unread(100) == 2
    assert context.unread(1) == 1
    assert freshness(context).document["unread_records"] == 2


def cursors_of(context: StreamContext) -> dict[str, dict[str, Any]]:
    return {name: dict(position) for name, position in context.ledger.cursors().items()}


NEWER = {"since": {"param": "since", "field": "at"}, "pages": {"offset": "offset"}}


@of(**NEWER)
def test_a_total_that_is_added_later_counts_nothing_that_was_read(api: Api, context: StreamContext) -> None:
    api.answering = growing = Growing()
    growing.records = [record(0), record(10), record(11, "2026-01-01T12:10:00Z")]
    read(context)
    later = HttpApi(stream_of(api, **NEWER, total="total"))
    assert later.unread(cursors_of(context), 100) == 0
    growing.records += [record(20)]
    assert later.unread(cursors_of(context), 100) == 1


@of(**NEWER, total="total")
def test_of_a_cursor_from_before_it_was_counted_it_is_not_known_what_is_unread(
    api: Api, context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.answering = growing = Growing()
    growing.records, growing.size = [record(0), record(10)], 1
    monkeypatch.setattr(http_source, "ROUND_BYTES", 1)
    context.prepare()
    (amid, *_) = context.found().slices
    assert amid.cursor
    read(context)
    for cursors in ({amid.cursor.name: dict(amid.cursor.position)}, cursors_of(context)):
        assert unread(context.source, cursors, 100) is not None
        for position in cursors.values():
            del position["records"], position["ties"]
        assert unread(context.source, cursors, 100) is None
    with monkeypatch.context() as old:
        old.setattr(StreamContext, "unread", lambda *_: None)
        assert freshness(context).document["unread"] == "not known: the source counts them once newer ones were read"


@of(**NEWER, total="total")
def test_what_is_unread_is_counted_though_the_api_leaves_out_the_value_that_is_asked_for(
    api: Api, context: StreamContext
) -> None:
    records = [record(0), record(10), record(11, "2026-01-01T12:10:00Z")]

    def exclusive(asked: Asked) -> Reply:
        newer = [each for each in records if json.loads(each)["at"] > asked.params.get("since", "")]
        return Reply(page(newer[int(asked.params["offset"]) :], total=len(newer)))

    api.answering = exclusive
    read(context)
    assert context.unread(100) == 0
    records += [record(20)]
    assert context.unread(100) == 1


@pytest.mark.parametrize("size", [1, 100])
@pytest.mark.parametrize("spelled", [["00Z", "00.000Z"], ["00.000Z", "00Z"]])
@of(**NEWER, total="total")
def test_a_moment_that_is_spelled_twice_is_counted_as_one(
    api: Api, context: StreamContext, spelled: list[str], size: int
) -> None:
    records = [record(number, f"2026-01-01T12:10:{end}") for number, end in enumerate(spelled)]

    def answering(asked: Asked) -> Reply:
        start = int(asked.params["offset"])
        return Reply(page(records[start : start + size], total=len(records)))

    api.answering = answering
    read(context)
    assert context.unread(100) == 0


@of(since={"param": "since", "field": "at"}, pages={"number": "page"}, total="total")
def test_a_page_that_comes_again_is_counted_once(api: Api, context: StreamContext) -> None:
    same = [record(number, "2026-01-01T12:10:00Z") for number in range(3)]
    api.answering = lambda _: Reply(page(same, total=3))
    read(context)
    api.answering = lambda _: Reply(page(same, total=6))
    assert context.unread(100) == 3


@of(pages={"number": "page"}, total="meta.total")
def test_records_that_are_read_once_in_a_partition_are_unread_in_the_next(
    api: Api, context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_source, "newest_partition", lambda _: DAY_ONE)
    pages = {1: RECORDS[:10], 2: RECORDS[10:20]}
    api.answering = lambda asked: Reply(page(pages.get(int(asked.params["page"]), []), meta={"total": "20"}))
    context.prepare()
    assert context.unread(100) == 20
    read(context)
    asked = len(api.asked)
    assert context.unread(100) == 0
    assert len(api.asked) == asked
    monkeypatch.setattr(http_source, "newest_partition", lambda _: DAY_TWO)
    assert context.unread(100) == 20


def test_without_a_total_it_is_said_why_nobody_knows_what_is_unread(api: Api, context: StreamContext) -> None:
    context.prepare()
    assert context.unread(100) is None
    assert freshness(context).document["unread"] == (
        "not known: source.total names no field in which a page says how many there are"
    )
    assert api.asked == []


@pytest.mark.parametrize(
    "body", [page([], total=None), page([], total=-1), page([], total=True), array(RECORDS), page([], total="9" * 5000)]
)
def test_a_page_without_its_total_is_told_with_the_fix(api: Api, body: bytes) -> None:
    api.answering = lambda _: Reply(body)
    with pytest.raises(SourceRefusedError, match=r"no number of records in 'total'\. Fix: correct source\.total"):
        HttpApi(stream_of(api, total="total")).unread({}, 10)


@of(since={"param": "since", "field": "at"}, pages={"number": "page"})
def test_records_that_an_api_gives_again_whatever_it_is_asked_for_count_once(api: Api, context: StreamContext) -> None:
    ingest_and_publish(context, DAY_ONE)
    ingest_and_publish(context, DAY_ONE)
    assert "since" in api.asked[-1].params
    assert len(payloads(context)) == 50
    refresh(context)
    assert [row["event_count"] for row in table(context)] == [25]


@of(since={"param": "since", "field": "at"}, pages={"offset": "offset"})
def test_a_sweep_of_many_pages_that_finds_nothing_newer_is_read_no_more(
    api: Api, context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_source, "ROUND_BYTES", 1)
    api.answering = growing = Growing()
    growing.size = 2
    growing.records = [record(number, "2026-01-01T12:00:00Z") for number in range(5)]
    assert read(context).rows == 5
    read(context)
    assert read(context).read == 0
    late = record(9, "2026-01-01T12:00:00Z")
    growing.records.append(late)
    read(context)
    assert late in payloads(context)


@of(pages={"cursor": "next", "param": "after"})
def test_an_empty_page_that_names_a_next_one_is_not_the_last(api: Api, context: StreamContext) -> None:
    def with_a_gap(asked: Asked) -> Reply:
        number = int(asked.params.get("after", 0))
        records = [] if number == 1 else RECORDS[number : number + 1]
        return Reply(page(records, next=number + 1 if number < 3 else None))

    api.answering = with_a_gap
    read(context)
    assert payloads(context) == [RECORDS[0], RECORDS[2], RECORDS[3]]


@of(pages={"cursor": "next", "param": "after"})
def test_uris_have_the_order_in_which_pages_were_read(api: Api, context: StreamContext) -> None:
    def one_by_one(asked: Asked) -> Reply:
        start = int(asked.params.get("after", 0))
        return Reply(page(RECORDS[start : start + 1], next=start + 1 if start < 12 else None))

    api.answering = one_by_one
    read(context)
    assert payloads(context) == RECORDS[:13]
    uris = [file.uri for file in sorted(context.ledger.files(), key=lambda file: file.sequence or 0)]
    assert uris == sorted(uris)


@of(pages={"cursor": "next", "param": "after", "resume": True})
def test_later_runs_go_on_from_the_last_cursor(api: Api, context: StreamContext) -> None:
    log = RECORDS[:15]

    def of_log(asked: Asked) -> Reply:
        start = int(asked.params.get("after", 0))
        following = start + 10 if start + 10 < len(log) else None
        return Reply(page(log[start : start + 10], next=following))

    api.answering = of_log
    read(context)
    assert payloads(context) == RECORDS[:15]
    assert read(context).read == 0
    log.extend(RECORDS[15:])
    read(context)
    assert set(payloads(context)) == set(RECORDS)
    assert all(asked.params.get("after") in ("10", "20") for asked in api.asked[-3:])


def test_a_cursor_that_comes_again_ends_the_reading_and_is_told(api: Api) -> None:
    api.answering = lambda _: Reply(page(RECORDS[:10], next="c"))
    source = HttpApi(stream_of(api, pages={"cursor": "next", "param": "after"}))
    found = source.search([DAY_ONE])
    assert len(api.asked) == 2
    assert [skipped.reason for skipped in found.skipped] == ["page 2 names a page as the next one that was read before"]


def test_a_page_that_comes_again_ends_the_reading_and_is_told(api: Api) -> None:
    api.answering = lambda _: Reply(page(RECORDS))
    source = HttpApi(stream_of(api, pages={"number": "p"}))
    found = source.search([DAY_ONE])
    assert sum(len(list(_rows(source, slice_))) for slice_ in found.slices) == 25
    assert "the server ignores p" in found.skipped[0].reason


def test_no_host_is_asked_that_the_stream_does_not_name(api: Api) -> None:
    with serving(by_link) as other:
        link = {"Link": f'<{other.url}>; rel="next"'}
        api.answering = lambda _: Reply(page(RECORDS[:10]), headers=link)
        with pytest.raises(SourceRefusedError, match=r"nothing was asked there\. Fix: .* source\.hosts"):
            HttpApi(stream_of(api, pages={"link": True})).find([DAY_ONE])
        assert other.asked == []


def test_a_host_that_the_stream_names_gets_no_secret(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cr3t")
    with serving(lambda _: Reply(page(RECORDS[10:]))) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        api.answering = lambda _: Reply(page(RECORDS[:10]), headers={"Link": f'<{elsewhere}>; rel="next"'})
        keys = {"pages": {"link": True}, "hosts": ["localhost"], "auth": {"bearer": {"env": "API_TOKEN"}}}
        assert len(HttpApi(stream_of(api, **keys)).find([DAY_ONE])) == 2
        assert api.asked[0].headers["authorization"] == "Bearer s3cr3t"
        assert "authorization" not in other.asked[0].headers


def test_a_redirect_is_not_followed(api: Api) -> None:
    api.answering = lambda _: Reply(status=302, headers={"Location": "https://elsewhere.example/?token=1"})
    with pytest.raises(SourceRefusedError, match=r"a redirect to https://elsewhere\.example/, which is not followed"):
        HttpApi(stream_of(api)).find([DAY_ONE])


LATER = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
EARLIER = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)


@pytest.mark.parametrize(
    "first",
    [
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=503, headers={"Retry-After": EARLIER}),
        Reply(status=429, headers={"Retry-After": "soon"}),
        Reply(status=500),
        Reply(b'{"data": [', length=100),
    ],
    ids=["seconds", "date", "nonsense", "500", "cut"],
)
def test_what_may_pass_is_tried_again(api: Api, first: Reply) -> None:
    answers = [first, Reply(page(RECORDS))]
    api.answering = lambda _: answers.pop(0)
    assert len(HttpApi(stream_of(api)).find([DAY_ONE])) == 1
    assert len(api.asked) == 2


@pytest.mark.parametrize("after", ["86400", LATER], ids=["seconds", "date"])
def test_a_wait_beyond_the_bound_is_told_and_not_waited_for(api: Api, after: str) -> None:
    api.answering = lambda _: Reply(status=429, headers={"Retry-After": after})
    with pytest.raises(SourceRefusedError, match=r"asks to wait for .*\. Fix: run again then, or raise"):
        HttpApi(stream_of(api)).find([DAY_ONE])
    assert len(api.asked) == 1


def test_a_server_that_does_not_recover_is_given_up(api: Api) -> None:
    api.answering = lambda _: Reply(status=500)
    with pytest.raises(SourceRefusedError, match=r"it answers 500 .*; it was tried for 1s"):
        HttpApi(stream_of(api, give_up_after="1s")).find([DAY_ONE])


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(b"<html>log in</html>"), "a page is not the JSON that source.records says"),
        (Reply(b'{"items": []}'), "a page has no 'data'; it has items. Fix: correct source.records."),
        (Reply(status=401), "answers 401 Unauthorized. Fix: correct source.auth"),
        (Reply(status=404), "answers 404 Not Found. Fix: correct source.url"),
        (Reply(page(RECORDS * 10)), "a page is longer than 1000000 bytes"),
    ],
    ids=["html", "records", "401", "404", "long"],
)
def test_what_is_refused_is_said_with_place_and_fix(api: Api, reply: Reply, says: str) -> None:
    long = Reply(page(RECORDS * 1000)) if "longer" in says else reply
    api.answering = lambda _: long
    with pytest.raises(SourceRefusedError) as caught:
        HttpApi(stream_of(api, max_page="1MB")).find([DAY_ONE])
    assert says in str(caught.value)
    assert api.url in str(caught.value)
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"bearer": {"env": "API_TOKEN"}}, "authorization", "Bearer s3cr3t"),
        ({"header": {"name": "X-Api-Key", "value": {"env": "API_TOKEN"}}}, "x-api-key", "s3cr3t"),
        ({"basic": {"user": "ann", "password": {"env": "API_TOKEN"}}}, "authorization", "Basic YW5uOnMzY3IzdA=="),
    ],
    ids=["bearer", "header", "basic"],
)
def test_who_asks_is_said_in_a_header(
    api: Api, monkeypatch: pytest.MonkeyPatch, auth: dict[str, Any], header: str, value: str
) -> None:
    source = HttpApi(stream_of(api, auth=auth))
    monkeypatch.delenv("API_TOKEN", raising=False)
    with pytest.raises(UserError, match=r"the environment variable API_TOKEN is not set"):
        source.find([DAY_ONE])
    monkeypatch.setenv("API_TOKEN", "s3cr3t")
    (slice_,) = source.find([DAY_ONE])
    assert api.asked[-1].headers[header] == value
    assert "s3cr3t" not in repr(slice_)


def test_who_asks_is_said_in_a_parameter_that_no_uri_or_cursor_has(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "s3cr3t")
    auth = {"param": {"name": "key", "value": {"env": "API_TOKEN"}}}
    found = HttpApi(stream_of(api, auth=auth, pages={"number": "page"})).find([DAY_ONE])
    assert {asked.params["key"] for asked in api.asked} == {"s3cr3t"}
    assert "s3cr3t" not in repr(found)


def test_a_token_is_fetched_and_once_more_where_it_has_expired(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_SECRET", "s3cr3t")
    tokens: list[str] = []

    def guarded(asked: Asked) -> Reply:
        if asked.method == "POST":
            assert b"client_secret=s3cr3t" in asked.body
            tokens.append(f"t{len(tokens)}")
            return Reply(json.dumps({"access_token": tokens[-1], "expires_in": 3600}).encode())
        if asked.params["page"] == "2" and len(tokens) == 1:
            return Reply(status=401)
        return by_number(asked) if asked.headers["authorization"] == f"Bearer {tokens[-1]}" else Reply(status=401)

    api.answering = guarded
    oauth2 = {"token_url": api.url + "/token", "client_id": "me", "client_secret": {"env": "API_SECRET"}}
    source = HttpApi(stream_of(api, auth={"oauth2": oauth2}, pages={"number": "page"}))
    assert sum(len(list(_rows(source, slice_))) for slice_ in source.find([DAY_ONE])) == 25
    assert tokens == ["t0", "t1"]


HEAD = "  type: http\n"
RESUMED = "pages: {cursor: next, param: after, resume: true}"


@pytest.mark.parametrize(
    ("keys", "key", "says"),
    [
        ("  url: api.example.com\n", "source.url", "is no URL"),
        ("  url: https://ann:hunter2@api.example.com\n", "source.url", "must not contain a user or password"),
        ("  url: https://a.example/?page=1\n", "source.url", "Fix: write its parameters in params"),
        ("  url: https://a.example/\n  auth: {}\n", "source.auth", "it needs one way"),
        ("  url: https://a.example/\n  auth: {bearer: hunter2}\n", "source.auth.bearer", "a secret can't stand in"),
        ("  url: https://a.example/\n  pages: {cursor: a}\n", "source.pages", "cursor and param belong together"),
        ("  url: https://a.example/\n  pages: {link: true, number: p}\n", "source.pages", "it needs one way"),
        (f"  url: https://a.example/\n  total: n\n  {RESUMED}\n", "source", "what a total counts after a cursor"),
        ("  url: https://a.example/\n  poll: {unread: 5}\n", "source", "source.total names no field in which"),
    ],
)
def test_a_mistake_in_the_file_is_reported(tmp_path: Path, keys: str, key: str, says: str) -> None:
    problem = mistake(tmp_path, HEAD + keys)
    assert problem.key == key
    assert says in str(problem)


def _no_quarantine(_: object) -> str:
    raise AssertionError("nothing is put aside")


def _rows(source: HttpApi, slice_: Slice) -> Iterator[bytes]:
    for block in source.read(slice_, _no_quarantine):
        yield from block["payload"]


def test_a_record_of_a_page_has_the_time_of_the_field_that_is_asked_by() -> None:
    reading = PageReading(
        [b'{"at": "2026-01-01T12:00:00Z"}', b'{"at": 7}', b"[]"],
        Since.model_validate({"param": "since", "field": "at"}),
    )
    reading.says_times = True
    (block,) = reading
    assert block["source_time"].to_list() == [datetime(2026, 1, 1, 12, tzinfo=UTC), None, None]


def test_records_that_have_numbers_for_times_are_refused_where_the_time_places_them() -> None:
    since = Since.model_validate({"param": "since", "field": "at"})
    reading = PageReading([b'{"at": 7}', b"[]"], since)
    reading.says_times = True
    with pytest.raises(SourceRefusedError, match=r"at has numbers, .* Fix: remove landing\.by, or let since\.field"):
        list(reading)
    assert len(list(PageReading([b'{"at": 7}'], since))) == 1
