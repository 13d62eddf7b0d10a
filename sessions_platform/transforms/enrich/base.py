"""The protocol of an enrichment. Its keys, columns and version are in its model in ``contracts.enrichments``."""

from collections.abc import Callable

import polars as pl

# A function of distinct inputs: from a frame with the columns that the model reads, to one of as many rows in the same
# order with those that it adds, of the model's types. The values of a row may depend on nothing but the row and the
# model's version: inputs come in frames of any size, and a rerun has to give the same values. A value that can't be
# computed is null, never an error.
Values = Callable[[pl.DataFrame], pl.DataFrame]

# What an implementation is: it makes the function from an instance of the model, and the folder of temporary files
# where the model says that it copies files. All that is slow once is done here.
Maker = Callable[..., Values]
