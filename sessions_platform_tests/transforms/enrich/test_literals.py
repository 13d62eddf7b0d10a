"""A pattern that matches a text is never left out, and most of those that do not are."""

import random
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from hypothesis import example, given
from hypothesis import strategies as st

from sessions_platform.transforms.enrich import literals, user_agent
from sessions_platform.transforms.enrich.literals import Literals, literals_of

AGENTS = pl.read_csv(Path(__file__).parent / "agents.csv")
_ATOMS = st.sampled_from(
    [*"ab1 ", "ab", "ba", r"\d", r"\w", r"\b", ".", "[ab]", "[^a]", r"\(", "^", "$", "(?i:a)", "(?i)"]
)
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: f"({'|'.join(branches)})"),
        st.lists(inner, min_size=2, max_size=3).map("|".join),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,1}", "*?"])).map(lambda two: f"({two[0]}){two[1]}"),
        st.tuples(st.sampled_from(["a", "ba", " "]), st.sampled_from(["*", "?", "{0,1}"])).map("".join),
    ),
    max_leaves=6,
)


@given(patterns=st.lists(_PATTERNS, min_size=1, max_size=4), texts=st.lists(st.text("abAB1 (", max_size=6) | st.none()))
@example(patterns=["(a|)b?"], texts=["1"])
@example(patterns=["ab*"], texts=["a"])
@example(patterns=["(?i)ab"], texts=["AB"])
def test_patterns_that_match_a_text_are_possible(patterns: list[str], texts: list[str | None]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    matching = {at for at, pattern in enumerate(patterns) if column.str.contains(pattern).any()}
    assert matching <= Literals(patterns).possible(column)


def test_a_pattern_needs_the_longest_of_its_texts_or_one_of_each_alternative() -> None:
    assert literals_of(r"(?:Mobile|Tablet) (Firefox)/(\d+)") == {"Firefox"}
    assert literals_of(r"(Opera|OPR)(?: Mini)?/\d+") == {"Opera", "OPR"}
    assert literals_of(r"\d+|Opera") is None


def test_families_by_some_of_the_rules_are_those_by_all() -> None:
    """Whichever come first, and so decide which rules are compiled at first."""
    bots = [instance for each in CRAWLER_USER_AGENTS_DATA[::8] for instance in each["instances"][:1]]
    headers = pl.Series([*AGENTS["user_agent"], *bots])
    for whole in (user_agent._browsers(), user_agent._systems()):
        extract = whole._extractor(map(user_agent._RULE, whole._rules)).extract
        expected = [match.family if (match := extract(header)) else None for header in headers]
        for seed in range(3):
            order = random.Random(seed).sample(range(len(headers)), len(headers))
            some = user_agent._Families(whole._extractor, whole._rules)
            parts = [some.families(headers[part]) for part in (order[:20], order[20:60], order[60:])]
            found = dict(zip(order, pl.concat(parts), strict=True))
            assert [found[at] for at in range(len(headers))] == [None if each == "Other" else each for each in expected]


def test_few_rules_are_compiled_for_common_headers() -> None:
    browsers = user_agent._Families(user_agent._browsers()._extractor, user_agent._browsers()._rules)
    headers = AGENTS.filter(pl.col("browser").is_in(["Chrome", "Firefox", "Safari"]))["user_agent"]
    browsers.families(headers)
    assert len(browsers._compiled) < len(browsers._rules) / 4


def test_of_many_texts_all_patterns_are_possible() -> None:
    texts: Sequence[str] = ["a"] * (literals.MOST_TEXTS + 1)
    assert Literals(["ab", "b"]).possible(pl.Series(texts)) == {0, 1}
