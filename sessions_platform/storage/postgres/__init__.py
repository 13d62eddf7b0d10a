"""PostgreSQL as such: connections (`database`), the embedded server (`embedded`), and `migrations`.

Not here: loading sessions (`storage.warehouses.postgres`), and the ledger (`storage.ledger`).
"""
