"""A Dagster project of one asset with nothing in it: what Dagster itself takes."""

import dagster as dg


@dg.asset
def one() -> None:
    """Nothing."""


definitions = dg.Definitions([one])
