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
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import polars as pl
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from ua_parser.loaders import load_lazy_builtins
from ua_parser_rs import OSExtractor, UserAgentExtractor  # of Rust: Python's own matchers are 48 times slower

from sessions_platform.contracts.web_enrichments import UserAgent
from sessions_platform.transforms.enrich.base import Values
from sessions_platform.transforms.enrich.digits import any_use_of, once_for_all_digits
from sessions_platform.transforms.enrich.literals import Literals

_UNKNOWN = "Other"  # the family of what no rule of uap-core knows
_RULE = attrgetter("regex", "family", "major", "minor", "patch", "patch_minor")

_TV = r"smart-?tv|apple ?tv|googletv|hbbtv|bravia|crkey|roku|\baft[a-z]|netcast|web0s|\btv\b"
_CONSOLE = r"playstation|xbox|nintendo"
_TABLET = r"ipad|tablet|kindle|silk/|playbook"
_MOBILE = r"mobi|iphone|ipod|windows phone|blackberry|opera mini"
_DESKTOP = r"windows nt|macintosh|x11|\bcros\b|linux|bsd"

_PLAIN = re.compile(r"(?:[^\\.^$*+?()\[\]{}|]|\\[^A-Za-z0-9])+")  # a pattern that matches nothing but one text
# The name of a bot, in what its pattern has matched: up to a version or a comment.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9!+._ -]*")


def user_agents(_: UserAgent) -> Values:
    """Adds browser, os, device_class, is_bot and bot_name; see the module for what they mean."""
    of_many = once_for_all_digits(of_agents, _any_use_of_a_digit)
    return lambda agents: of_many(agents.to_series())


def of_agents(agents: pl.Series) -> pl.DataFrame:
    """The values of headers, a row each, with the columns that are added."""
    agent = agents.str.strip_chars().replace("", None).alias("agent").to_frame()
    text = pl.col("agent").str
    values = agent.with_columns(lower=text.to_lowercase(), found=text.extract_many([*_bots()[0]], overlapping=True))
    values = values.with_columns(is_bot=(pl.col("found").list.len() > 0) | text.contains(_any_other_bot()))
    return values.select(
        browser=_browsers().families(agent["agent"]),
        os=_systems().families(agent["agent"]),
        device_class=_device_class(),
        is_bot="is_bot",
        bot_name=_bot_names(values),
    )


class _Families:
    """Families by the first rule that matches. Only rules that can match are compiled, until others are needed, too.

    Args:
        extractor: compiles rules.
        rules: of uap-core.
    """

    def __init__(self, extractor: type[UserAgentExtractor] | type[OSExtractor], rules: Iterable[Any]) -> None:
        self._extractor, self._rules = extractor, list(rules)
        self._literals = Literals([rule.regex for rule in self._rules])
        self._compiled, self._extract = frozenset[int](), None

    def families(self, agents: pl.Series) -> pl.Series:
        extract = self._extract_of(agents)
        found = (None if agent is None else extract(agent) for agent in agents.to_list())
        families = pl.Series(agents.name, [match.family if match else None for match in found], pl.String)
        return families.replace(_UNKNOWN, None)

    def _extract_of(self, agents: pl.Series) -> Callable[[str], Any]:
        possible = self._literals.possible(agents)
        if self._extract is None or not possible <= self._compiled:
            compiled = possible if self._extract is None else range(len(self._rules))
            rules = (_RULE(self._rules[at]) for at in sorted(compiled))
            self._compiled, self._extract = frozenset(compiled), self._extractor(rules).extract
        return self._extract


def _device_class() -> pl.Expr:
    agent = pl.col("lower")
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


def _bot_names(values: pl.DataFrame) -> pl.Series:
    """The names of bots, by what the first pattern of the list that matches has matched; null for all others."""
    texts, patterns = _bots()
    is_bot = values["is_bot"].fill_null(value=False)
    bots = values.filter(is_bot).select("agent", "found")
    names = pl.Series([_bot(agent, found, texts, patterns) for agent, found in bots.iter_rows()], dtype=pl.String)
    return names.gather(pl.select(pl.when(is_bot).then(is_bot.cum_sum() - 1)).to_series())


def _bot(agent: str, found: Iterable[str], texts: Mapping[str, int], patterns: Mapping[int, re.Pattern[str]]) -> str:
    first = min(found, key=texts.__getitem__, default="")
    place = texts.get(first, len(CRAWLER_USER_AGENTS_DATA))
    earlier = (match[0] for at, pattern in patterns.items() if at < place and (match := pattern.search(agent)))
    matched = next(earlier, first or agent)
    name = _NAME.search(matched)
    return name[0].rstrip(" .-_+") if name else matched


@cache
def _browsers() -> _Families:
    return _Families(UserAgentExtractor, load_lazy_builtins()[0])


@cache
def _systems() -> _Families:
    return _Families(OSExtractor, load_lazy_builtins()[1])


def _any_use_of_a_digit(agents: pl.Series) -> str:
    """Of all patterns that can match one of these, whatever digits they have."""
    patterns, literals = _with_digits()
    return any_use_of(patterns[at] for at in literals.possible(agents))


@cache
def _with_digits() -> tuple[Sequence[str], Literals]:
    """All patterns that may tell digits apart."""
    browsers, systems, _ = load_lazy_builtins()
    bots = (each["pattern"] for each in CRAWLER_USER_AGENTS_DATA)
    devices = (f"(?i:{pattern})" for pattern in (_TV, _CONSOLE, _TABLET, _MOBILE, _DESKTOP))
    patterns = [*(rule.regex for rule in (*browsers, *systems)), *bots, *devices]
    patterns = list(filter(re.compile("[0-9]").search, patterns))
    return patterns, Literals(patterns)


@cache
def _bots() -> tuple[Mapping[str, int], Mapping[int, re.Pattern[str]]]:
    """The patterns that are plain texts with their places in the list, and the others by theirs.

    Nearly all are plain texts, which are looked for all at once.
    """
    patterns = [each["pattern"] for each in CRAWLER_USER_AGENTS_DATA]
    texts: dict[str, int] = {}
    for place, pattern in enumerate(patterns):
        if _PLAIN.fullmatch(pattern):
            texts.setdefault(re.sub(r"\\(.)", r"\1", pattern), place)
    return texts, {at: re.compile(each) for at, each in enumerate(patterns) if not _PLAIN.fullmatch(each)}


@cache
def _any_other_bot() -> str:
    """One pattern for those of the list that are no plain texts."""
    return "|".join(f"(?:{pattern.pattern})" for pattern in _bots()[1].values())
