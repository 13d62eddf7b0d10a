"""Browser, system, device class and bot of a User-Agent header.

Browser and system are the families of uap-core's rules (packages ua-parser and ua-parser-rs); bots are those of
monperrus/crawler-user-agents. Versions of systems are not given: browsers freeze them (every Android is "10; K", every
macOS "10_15_7"), and an iPad that asks for desktop pages is a Mac to everyone.

The class of a device is no library's answer, but ours:

- ``bot``: a crawler, a library or a tool, by the list;
- ``tv``: a television or what is plugged into one; ``console``: a game console;
- ``tablet``: an iPad, Kindle or Silk, "Tablet", or Android without "Mobile" (as Google tells its makers to write);
- ``mobile``: any other with "Mobi" (as Mozilla's documentation advises to ask for), iPhone or iPod;
- ``desktop``: Windows, macOS, ChromeOS, Linux and the BSDs; ``other``: whatever is left, such as apps' own agents;
- ``absent``: no header, or an empty one. Then all else is null, also whether it is a bot.
"""

import re
from functools import cache

import polars as pl
import ua_parser_rs  # noqa: F401  # without it ua-parser falls back to Python, 48 times slower, and says nothing
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from ua_parser import Parser
from ua_parser.loaders import load_builtins
from ua_parser.regex import Resolver

from sessions_platform.contracts.web_enrichments import UserAgent
from sessions_platform.transforms.enrich.base import Values

_UNKNOWN = "Other"  # the family of what no rule of uap-core knows

_TV = r"smart-?tv|apple ?tv|googletv|hbbtv|bravia|crkey|roku|\baft[a-z]|netcast|web0s|\btv\b"
_CONSOLE = r"playstation|xbox|nintendo"
_TABLET = r"ipad|tablet|kindle|silk/|playbook"
_MOBILE = r"mobi|iphone|ipod|windows phone|blackberry|opera mini"
_DESKTOP = r"windows nt|macintosh|x11|\bcros\b|linux|bsd"

# The name of a bot, in what its pattern has matched: up to a version or a comment.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9!+._ -]*")


def user_agents(_: UserAgent) -> Values:
    """Adds browser, os, device_class, is_bot and bot_name; see the module for what they mean."""
    return lambda agents: of_agents(agents.to_series())


def of_agents(agents: pl.Series) -> pl.DataFrame:
    """The values of headers, a row each, with the columns that are added."""
    agent = agents.str.strip_chars().replace("", None).alias("agent").to_frame()
    values = agent.with_columns(is_bot=pl.col("agent").str.contains(_any_bot()))
    return values.select(
        browser=pl.col("agent").map_elements(_browser, pl.String),
        os=pl.col("agent").map_elements(_system, pl.String),
        device_class=_device_class(),
        is_bot="is_bot",
        bot_name=pl.when("is_bot").then("agent").map_elements(_bot, pl.String),
    )


def _browser(agent: str) -> str | None:
    found = _parser().parse_user_agent(agent)
    return found.family if found and found.family != _UNKNOWN else None


def _system(agent: str) -> str | None:
    found = _parser().parse_os(agent)
    return found.family if found and found.family != _UNKNOWN else None


def _device_class() -> pl.Expr:
    agent = pl.col("agent").str.to_lowercase()
    android_without_mobile = agent.str.contains("android", literal=True) & ~agent.str.contains("mobi", literal=True)
    return (
        pl.when(agent.is_null())
        .then(pl.lit("absent"))
        .when("is_bot")
        .then(pl.lit("bot"))
        .when(agent.str.contains(_TV))
        .then(pl.lit("tv"))
        .when(agent.str.contains(_CONSOLE))
        .then(pl.lit("console"))
        .when(agent.str.contains(_TABLET) | android_without_mobile)
        .then(pl.lit("tablet"))
        .when(agent.str.contains(_MOBILE))
        .then(pl.lit("mobile"))
        .when(agent.str.contains(_DESKTOP))
        .then(pl.lit("desktop"))
        .otherwise(pl.lit("other"))
    )


def _bot(agent: str) -> str:
    """The name of a bot, by what the first pattern that matches has matched."""
    found = next((match[0] for pattern in _bots() if (match := pattern.search(agent))), agent)
    name = _NAME.search(found)
    return name[0].rstrip(" .-_+") if name else found


@cache
def _parser() -> Parser:
    return Parser(Resolver(load_builtins()))


@cache
def _bots() -> list[re.Pattern[str]]:
    return [re.compile(each["pattern"]) for each in CRAWLER_USER_AGENTS_DATA]


@cache
def _any_bot() -> str:
    return "|".join(f"(?:{each['pattern']})" for each in CRAWLER_USER_AGENTS_DATA)
