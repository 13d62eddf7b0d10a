"""Values that are computed once for all texts that differ in digits alone equal those of each text."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from hypothesis import example, given
from hypothesis import strategies as st

from sessions_platform.transforms.enrich import digits, user_agent
from sessions_platform.transforms.enrich.digits import any_use_of, once_for_all_digits, use_of

_ATOMS = st.sampled_from(
    [
        *"01a_",
        *(
            r"\d",
            r"\w",
            r"\D",
            r"\b",
            ".",
            "[0-9]",
            "[01]",
            "[1-9]",
            "[^0]",
            "[^_]",
            "[^a]",
            "[a1_]",
            r"\(",
            r"\)",
            "ab",
        ),
    ]
)
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda branches: f"({'|'.join(branches)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,1}", "*?"])).map(lambda two: f"({two[0]}){two[1]}"),
    ),
    max_leaves=6,
)
_TEXTS = st.lists(st.text("01a_)\u0661\0", max_size=6) | st.none(), max_size=3)


def _matches(patterns: Sequence[str], with_digits: bool, texts: pl.Series) -> pl.DataFrame:
    """What each pattern matches of texts, and what is left of it without digits, as a capture can leave them out."""
    found = [texts.str.extract(f"({pattern})") for pattern in patterns]
    kept = found if with_digits else [each.str.replace_all("[0-9]", "") for each in found]
    return pl.DataFrame({str(at): each for at, each in enumerate(kept)})


def _with_other_digits(text: str | None) -> list[str | None]:
    """The text, and others that have other digits in its places."""
    if text is None:
        return [None] * 3
    return [text, *(re.sub("[01]", lambda _, of=cycle: of[0], text) for cycle in "0127"), text.replace("1", "2")]


@given(patterns=st.lists(_PATTERNS, min_size=1, max_size=3), with_digits=st.booleans(), texts=_TEXTS)
@example(patterns=["[^0]a"], with_digits=False, texts=["1a"])
@example(patterns=["a(1|_)?0"], with_digits=False, texts=["a10"])
@example(patterns=["c(1a)+b"], with_digits=False, texts=["c1a1ab"])
@example(patterns=["a1"], with_digits=False, texts=["a1)0", "0)a1"])
@example(patterns=[r"\ba"], with_digits=False, texts=["1a"])
@example(patterns=[".1"], with_digits=False, texts=["\u06611"])
@example(patterns=[r"a\d"], with_digits=False, texts=["a1", "a\0"])
def test_values_of_texts_with_one_key_are_those_of_each_text(
    patterns: list[str], with_digits: bool, texts: list[str | None]
) -> None:
    of_texts = partial(_matches, patterns, with_digits)
    many = pl.Series([other for text in texts for other in _with_other_digits(text)], dtype=pl.String)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits, "WORTH_IT", 0)
        found = once_for_all_digits(of_texts, lambda _: any_use_of(patterns))(many)
    assert found.rows() == of_texts(many).rows()


@pytest.mark.parametrize(
    "pattern",
    ["(?P<version>1)", "(?i)1", r"\x31", "[[:digit:]]1", "[0-9&&[^1]]", "[0-9--1]", r"[\\[1]]", "[]1]", r"\p{N}1"],
)
def test_a_pattern_that_is_not_read_is_taken_to_tell_all_digits_apart(pattern: str) -> None:
    assert pl.Series(["a"]).str.contains(any_use_of([pattern])).all()


def _agents() -> list[str]:
    """Headers of the forms that makers document, and those of an eighth of all bots."""
    agents = pl.read_csv(Path(__file__).parent / "agents.csv")["user_agent"].to_list()
    instances = [agent for each in CRAWLER_USER_AGENTS_DATA[::8] for agent in each["instances"][:1]]
    return [*agents, *instances]


@pytest.fixture(scope="module")
def headers() -> pl.Series:
    """Each header with other numbers, too."""
    return pl.Series(
        [
            re.sub("[0-9]", lambda digit, by=by: str((int(digit[0]) * (by + 1) + by) % 10), agent)
            for agent in _agents()
            for by in (0, 1, 2, 6)
        ]
    )


def test_values_of_many_headers_are_those_of_each(headers: pl.Series, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "WORTH_IT", 0)
    of_many = once_for_all_digits(user_agent.of_agents, user_agent._any_use_of_a_digit)
    assert of_many(headers).rows() == user_agent.of_agents(headers).rows()


def test_headers_that_differ_in_versions_are_not_parsed_one_by_one() -> None:
    parsed: list[int] = []

    def of_agents(agents: pl.Series) -> pl.DataFrame:
        parsed.append(len(agents))
        return user_agent.of_agents(agents)

    forms = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{} Safari/537.36",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{} Safari/537.36",
        "Mozilla/5.0 (Linux; Android 16; SM-S{}B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0",
        "Mozilla/5.0 (compatible; Googlebot/{}; +http://www.google.com/bot.html)",
    ]
    agents = pl.Series([form.replace("{}", str(number)) for form in forms for number in range(1000, 6000)])
    values = once_for_all_digits(of_agents, user_agent._any_use_of_a_digit)(agents)
    assert values.height == len(agents)
    assert sum(parsed) < 20


def test_all_rules_of_browsers_and_systems_and_all_patterns_of_bots_are_read() -> None:
    browsers, systems, _ = user_agent.load_lazy_builtins()
    patterns = [
        *(rule.regex for rule in (*browsers, *systems)),
        *(each["pattern"] for each in CRAWLER_USER_AGENTS_DATA),
    ]
    assert [pattern for pattern in patterns if use_of(pattern) == digits._ANYTHING] == []
