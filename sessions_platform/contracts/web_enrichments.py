"""The keys of the enrichments of web events: user agent, referrer, campaign and channel.

Not here: how they compute (``transforms.enrich``), and the tables of hosts and channels (``transforms/enrich/data``).
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.enrichment import EnrichmentConfig, package_versions
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import Pattern, invalid, shown

_TEXT = ColumnType.string


def _host(host: str) -> str:
    """A host's name in lower case, without a leading www., as those of referrers are."""
    plain = host.strip().rstrip(".").lower().removeprefix("www.")
    if not plain or any(sign in plain for sign in "/:@ *"):
        raise invalid(f"{shown(host)} is no host", "write its name alone, as in shop.example")
    return plain


Host = Annotated[str, AfterValidator(_host)]


class UserAgent(EnrichmentConfig):
    """What a User-Agent header says of browser, system and device, and whether it is a bot's."""

    implementation: ClassVar[str] = "sessions_platform.transforms.enrich.user_agent:user_agents"
    adds: ClassVar[Mapping[str, ColumnType]] = {
        "browser": _TEXT,
        "os": _TEXT,
        "device_class": _TEXT,
        "is_bot": ColumnType.boolean,
        "bot_name": _TEXT,
    }

    column: str = Field("user_agent", alias="from", description="The column with the header.")

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def data_versions(self) -> Mapping[str, str]:
        return package_versions("ua-parser-builtins", "crawler-user-agents", extra="enrichment")

    @model_validator(mode="after")
    def _packages_are_installed(self) -> Self:
        package_versions("ua-parser-builtins", "ua-parser-rs", "crawler-user-agents", extra="enrichment")
        return self


class Referrer(EnrichmentConfig):
    """Where a visit came from, as the URL of the page before tells."""

    implementation: ClassVar[str] = "sessions_platform.transforms.enrich.referrer:referrers"
    adds: ClassVar[Mapping[str, ColumnType]] = {
        "referrer_host": _TEXT,
        "referrer_medium": _TEXT,
        "referrer_source": _TEXT,
    }

    column: str = Field("referrer", alias="from", description="The column with the URL.")
    own_hosts: list[Host] = Field(
        default_factory=list, description="Hosts of the site itself, with all below them: internal, and no arrival."
    )
    ignore: list[Host] = Field(
        default_factory=list,
        description="Hosts that visitors pass through, as those of payment and login, with all below them.",
    )

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)


class Campaign(EnrichmentConfig):
    """The parameters of a page's URL by which campaigns and advertisers mark an arrival."""

    implementation: ClassVar[str] = "sessions_platform.transforms.enrich.campaign:campaigns"
    adds: ClassVar[Mapping[str, ColumnType]] = {
        **dict.fromkeys(
            ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id"), ColumnType.string
        ),
        "click_id_kind": _TEXT,
        "click_id": _TEXT,
    }
    identifying: ClassVar[frozenset[str]] = frozenset({"click_id"})  # each is of one click, and so of one person

    column: str = Field("page_url", alias="from", description="The column with the page's URL.")

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)


class ChannelRule(Model):
    """A channel, and what all has to hold of an arrival. Patterns match the whole text, in any case."""

    channel: str = Field(min_length=1)
    source: Pattern | None = None
    medium: Pattern | None = None
    campaign: Pattern | None = None
    category: Literal["search", "social", "video", "shopping", "ai", "email", "ads"] | None = Field(
        None, description="What the source is, by the table of hosts."
    )


class Channel(EnrichmentConfig):
    """The channel of an arrival, by rules over its source, medium and campaign."""

    implementation: ClassVar[str] = "sessions_platform.transforms.enrich.channel:channels"
    adds: ClassVar[Mapping[str, ColumnType]] = {"traffic_source": _TEXT, "traffic_medium": _TEXT, "channel": _TEXT}

    rules: Literal["channels_2026_11"] | list[ChannelRule] = Field(
        "channels_2026_11", description="A dated table of rules, or rules of your own; the first that holds decides."
    )
    first: list[ChannelRule] = Field(default_factory=list, description="Rules of your own, before those of the table.")

    @property
    def reads(self) -> tuple[str, ...]:
        return (
            *("utm_source", "utm_medium", "utm_campaign", "click_id_kind"),
            *("referrer_host", "referrer_medium", "referrer_source"),
        )
