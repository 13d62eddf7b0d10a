"""Warehouses: PostgreSQL as the system of record (`postgres`), and what any further one must offer (`base`).

Not here: which partitions are loaded (`pipeline.load`) or delivered (`pipeline.deliver`).
"""
