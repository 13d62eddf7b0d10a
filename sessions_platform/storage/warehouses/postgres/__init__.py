"""A stream's tables in PostgreSQL: how they are made, loaded and queried; `loader` is the interface.

Not here: transactions around a load (`pipeline`), and the ledger (`storage.ledger`).
"""
