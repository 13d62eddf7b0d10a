"""The lake: immutable Parquet files (`lake`), in a file system (`filesystem`), and temporary files (`spill`).

Not here: which files are current (`storage.ledger`).
"""
