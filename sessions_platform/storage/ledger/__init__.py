"""The ledger: which files, versions and deliveries of a stream are current, in the warehouse database.

`ledger` is its interface; the other modules are its parts. Not here: its tables (`storage.postgres.migrations`).
"""
