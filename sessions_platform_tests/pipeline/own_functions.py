"""Functions of a user's own, as tests of `enrich: python` name them."""

import polars as pl


def shelf(inputs: pl.DataFrame) -> pl.DataFrame:
    """The first letter of a page, and how long it is; for some pages it raises an error."""
    pages = inputs["page_url"].to_list()
    broken = next((page for page in pages if page and page.startswith("!")), None)
    if broken:
        raise KeyError(broken)
    letters = [page[:1] if page else None for page in pages]
    lengths = [len(page or "") for page in pages]
    return pl.DataFrame({"letter": letters, "length": lengths}, {"letter": pl.String, "length": pl.Int64})


def section(inputs: pl.DataFrame) -> pl.DataFrame:
    """The first letter of a URL's path."""
    return inputs.select(section=pl.col("visit_url").str.strip_prefix("https://shop.example/").str.head(1))


def section_in_capitals(inputs: pl.DataFrame) -> pl.DataFrame:
    return section(inputs).select(pl.col("section").str.to_uppercase())


def numbers(inputs: pl.DataFrame) -> pl.DataFrame:
    values = [float("nan"), float("inf"), 1.5]
    return inputs.with_columns(score=pl.Series([values[row % 3] for row in range(inputs.height)]))


def sign(inputs: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({"sign": [None if amount is None else f"{amount:+}" for amount in inputs["amount"]]})


def short(inputs: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame({"letter": ["a"] * (inputs.height + 1)})


def rows(inputs: pl.DataFrame) -> list[tuple[object, ...]]:
    return inputs.rows()


NO_FUNCTION = "text"
