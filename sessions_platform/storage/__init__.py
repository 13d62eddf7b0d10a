"""Where state is kept: files in the lake, versions in the ledger, tables in the warehouses.

Not here: what is written and when, which the stages of `pipeline` decide.
"""
