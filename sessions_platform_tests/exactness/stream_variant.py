"""The streams that are drawn: one description, for the platform as a stream's file and for the model as a rule."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from sessions_platform.contracts.stream import Stream
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.transforms.reference_sessionizer import Column, Outcomes, Rule
from sessions_platform_tests.exactness import web_visits

# Columns of the sessions table that a stream may ask for.
AGGREGATES: dict[str, Column] = {
    "total": Column("sum", "amount"),
    "least": Column("min", "amount"),
    "greatest": Column("max", "amount"),
    "came_by": Column("first", "campaign"),
    "last_page": Column("last", "page_url"),
    "pages": Column("count", "page_url"),
    "kinds": Column("count_distinct", "event_type"),
    "bought": Column("sum", "amount", {"event_type": ["buy"]}),
    "usual_page": Column("most_frequent", "page_url"),
}
# Conversions that a stream may state, and the columns that they add; how long a heartbeat of its pings is.
DIRECT = ("/a",)
HEARTBEAT = timedelta(minutes=20)
CONVERSIONS = {"order": {"event_type": ["buy"], "value": "amount"}}
OF_CONVERSIONS = {
    "order_count": Column("count", "event_type", {"event_type": ["buy"]}),
    "order_value": Column("sum", "amount", {"event_type": ["buy"]}),
}

IDENTITY = {"anonymous_id": "campaign", "user_id": "user_id"}
# Columns of events that are looked up, by the state of the table: where a page is.
SHELVES: dict[str, dict[str, str]] = {"first": {"/a": "left", "/b": "right"}, "second": {"/a": "left", "/b": "left"}}
OF_LOOKUPS = {"came_to": Column("first", "shelf"), "shelves": Column("count_distinct", "shelf")}
_TABLES = TemporaryDirectory(prefix="lookups")

PRECISIONS = {"us": timedelta(microseconds=1), "ms": timedelta(milliseconds=1), "s": timedelta(seconds=1)}

AMPLE = MemoryBudget(1 << 30, 1 << 25)


@dataclass(frozen=True)
class StreamVariant:
    """The contract and the session rule of a stream, as far as they differ from one example to the next."""

    start: date = date(2026, 1, 1)
    landing: str = "daily"
    partition: str = "daily"
    timezone: str = "UTC"
    has_ids: bool = True
    ids_nullable: bool = False  # a row without id has one derived
    max_future: timedelta = timedelta(days=366)
    memory: MemoryBudget = AMPLE  # how much is processed at once; no result may depend on it
    # the contract
    looks_up: bool = False
    shelves: str = "first"  # of SHELVES
    countries: str = "first"  # of web_visits.COUNTRIES
    sections: str = "first"  # of web_visits.SECTIONS
    visits: bool = False  # whether rows say by which way and with what somebody came, which enrichments read
    payment_ignored: bool = True
    allowed: tuple[str, ...] | None = None  # event types
    at_least: float | None = None  # amount
    keeps_last: bool = False
    compared: str | tuple[str, ...] = "content"
    shared_above: int | None = None  # of the campaigns as anonymous ids; None where the stream states no identity
    # the session rule
    by_person: bool = False  # where the stream states an identity
    gap: timedelta = timedelta(minutes=30)
    gap_inclusive: bool = False
    precision: str = "us"
    gap_from: str = "event"
    split_at_midnight: bool = False
    by_campaign: bool = False
    cut_on: tuple[str, ...] = ()  # turns of the page
    passive: tuple[str, ...] = ()
    by_tool: bool = False  # the column `campaign` has the tool's own session id
    id_within: timedelta = timedelta(days=1)
    max_length: timedelta | None = None
    sequence: str | None = None  # "seq" or "position"
    priorities: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    pasts: bool = False  # whether there is the view user_sessions, with pages as touches
    lookback: timedelta | None = None
    engaged: str | None = None  # "ga4" or "snowplow"
    bounce: str | None = None
    converts: bool = False

    @property
    def most_users(self) -> int | None:
        """Of an anonymous id that is a person's; None where sessions are not a person's."""
        return self.shared_above if self.by_person else None

    @property
    def aggregates(self) -> dict[str, Column]:
        """The columns of the sessions table that are made of events, by name."""
        own = {name: AGGREGATES[name] for name in self.columns} | self._of_enrichments
        return own | (OF_CONVERSIONS if self.converts else {})

    @property
    def outcomes(self) -> Outcomes:
        snowplow = self.engaged == "snowplow"
        return Outcomes(
            views=("view",),
            conversions=("buy",) if self.converts else (),
            engaged_after=timedelta(minutes=30) if self.engaged == "ga4" else None,
            pings=self.pings if snowplow else (),
            heartbeat=HEARTBEAT,
            bounce=self.bounce if self.engaged or self.bounce != "not_engaged" else None,
        )

    @property
    def pings(self) -> tuple[str, ...]:
        """Where the contract allows them logins, which are no views."""
        return ("login", "view") if not self.allowed or "login" in self.allowed else ("view",)

    @property
    def passive_types(self) -> tuple[str, ...]:
        """Those that the contract allows: a rule that names others is refused."""
        return tuple(name for name in self.passive if not self.allowed or name in self.allowed)

    @property
    def rule(self) -> Rule:
        return Rule(
            self.gap,
            self.gap_inclusive,
            self.timezone if self.split_at_midnight else None,
            "campaign" if self.by_campaign else None,
            self.max_length,
            self.sequence,
            self.keeps_last,
            PRECISIONS[self.precision],
            self.gap_from == "second",
            "page_url" if self.cut_on else None,
            "changes" in self.cut_on,
            "leaves" in self.cut_on,
            self.passive_types,
            "campaign" if self.by_tool else None,
            self.id_within,
        )

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def _of_enrichments(self) -> dict[str, Column]:
        return (OF_LOOKUPS if self.looks_up else {}) | (web_visits.ATTRIBUTES if self.visits else {})

    @property
    def data(self) -> tuple[Any, ...]:
        """What values of enriched columns depend on besides the event: where it differs, they are to be made anew."""
        of_visits = tuple(self.states_of_visits.values()) if self.visits else None
        return (self.shelves if self.looks_up else None, of_visits)

    @property
    def states_of_visits(self) -> dict[str, Any]:
        """What the enrichments of visits depend on."""
        return {"payment_ignored": self.payment_ignored, "countries": self.countries, "sections": self.sections}

    def looked_up(self, page: str | None) -> dict[str, str | None]:
        """What the table says of a page, as a column of the event."""
        return {"shelf": SHELVES[self.shelves].get(page or "")} if self.looks_up else {}

    @property
    def _enrichments(self) -> dict[str, Any]:
        of_visits = web_visits.enrichments(**self.states_of_visits) if self.visits else {}
        return of_visits | (self._lookup if self.looks_up else {})

    @property
    def _lookup(self) -> dict[str, Any]:
        path = Path(_TABLES.name) / f"{self.shelves}.csv"
        if not path.exists():
            path.write_text(
                "\n".join(["page,shelf", *(f"{page},{shelf}" for page, shelf in SHELVES[self.shelves].items())])
            )
        return {"lookup": {"table": str(path), "key": "page", "from": "page_url", "take": ["shelf"]}}

    def stream(self, name: str) -> Stream:
        stream = Stream.model_validate(self.as_file(name))
        assert stream.contract_version  # of the files' state by now: they may be replaced
        return stream

    def as_file(self, name: str) -> dict[str, Any]:
        """The stream's file."""
        ids = {"event_id": {"from": "id", "nullable": self.ids_nullable}} if self.has_ids else {}
        columns = {
            **ids,
            "user_id": {"from": ["user", "anon"]},
            "event_timestamp": {"from": "ts", "formats": ["%+"]},
            "event_type": {"from": "type", "isin": list(self.allowed) if self.allowed else None},
            "page_url": {"from": "url", "nullable": True},
            "amount": {"type": "float", "nullable": True, "ge": self.at_least},
            "campaign": {"nullable": True},
            "seq": {"type": "integer", "nullable": True},
        }
        if self.visits:
            columns |= {name: {"from": field, "nullable": True} for name, field in web_visits.FIELDS.items()}
        session = {
            "by": "person" if self.most_users else "user",
            "gap": _spelled(self.gap),
            "gap_inclusive": self.gap_inclusive,
            "precision": self.precision,
            "gap_from": self.gap_from,
            "partition": self.partition,
            "timezone": self.timezone,
            "split_at_midnight": self.split_at_midnight,
            "campaign": self.rule.campaign,
            "cut_on": {"column": "page_url", "when": list(self.cut_on)} if self.cut_on else None,
            "max_length": _spelled(self.max_length) if self.max_length else None,
            "passive": list(self.passive_types) or None,
            **({"id": "campaign", "id_within": _spelled(self.id_within)} if self.by_tool else {}),
            "primary_action": list(self.priorities) or "most_frequent",
            "columns": {name: _as_key(self.aggregates[name]) for name in (*self.columns, *self._of_enrichments)},
            "views": ["view"],
            "conversions": CONVERSIONS if self.converts else {},
            "engaged": self._engaged,
            "bounce": self.outcomes.bounce,
            "max_future": _spelled(self.max_future),
        }
        return {
            "name": name,
            "start": self.start,
            "source": {"files": "landing/{partition}/*.ndjson", "format": "ndjson"},
            "landing": {"partition": self.landing},
            "columns": columns,
            "sequence": self.rule.sequence,
            "identity": None if self.shared_above is None else {**IDENTITY, "shared_above": self.shared_above},
            "enrich": self._enrichments,
            "duplicates": {
                "compare": self.compared if isinstance(self.compared, str) else list(self.compared),
                "keep": "last" if self.keeps_last else "first",
            },
            "session": session,
            "user_sessions": self._user_sessions,
        }

    @property
    def _user_sessions(self) -> dict[str, Any] | None:
        lookback = _spelled(self.lookback) if self.lookback else None
        return {"touch": "entry_page", "direct": list(DIRECT), "lookback": lookback} if self.pasts else None

    @property
    def _engaged(self) -> dict[str, Any] | None:
        if self.engaged == "snowplow":
            return {"like": "snowplow", "pings": list(self.pings), "heartbeat": _spelled(HEARTBEAT)}
        return {"like": "ga4", "after": _spelled(timedelta(minutes=30))} if self.engaged else None


def _spelled(duration: timedelta) -> str:
    return f"{duration // timedelta(seconds=1)}s"


def partition_of(moment: datetime, cadence: str, zone: str = "UTC") -> str:
    """The key of the partition that a moment lies in."""
    local = moment.astimezone(ZoneInfo(zone))
    day = local.date()
    if cadence == "hourly":
        return local.strftime("%Y-%m-%dT%H")
    if cadence == "weekly":
        day -= timedelta(days=day.weekday())
    if cadence == "monthly":
        day = day.replace(day=1)
    return day.isoformat()


def first_moment(variant: StreamVariant) -> datetime:
    """The start of the session partition that contains the stream's first midnight."""
    return turn_before(
        datetime(variant.start.year, variant.start.month, variant.start.day, tzinfo=variant.zone), variant
    )


def turn_before(moment: datetime, variant: StreamVariant) -> datetime:
    """The start of the session partition that contains the moment."""
    key = partition_of(moment, variant.partition, variant.timezone)
    return datetime.fromisoformat(key).replace(tzinfo=variant.zone).astimezone(UTC)


def last_moment(landing_partition: str, variant: StreamVariant) -> datetime:
    """The latest timestamp that an event of this landing partition may have."""
    start = datetime.fromisoformat(landing_partition).replace(tzinfo=UTC)
    lengths = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}
    is_monthly = variant.landing == "monthly"
    end = (start + timedelta(days=32)).replace(day=1) if is_monthly else start + lengths[variant.landing]
    return end + variant.max_future


def _as_key(own: Column) -> dict[str, Any]:
    return {own.function: own.column, **({"where": dict(own.where)} if own.where else {})}
