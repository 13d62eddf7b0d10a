"""What dbt reads of a stream: a file of sources, with descriptions, types and tests of every table and view.

`tables.py` has what is in PostgreSQL, `duckdb.py` what is in a target's DuckDB file, `sources.py` the file's form. Not
here: how the tables are made (`storage/warehouses`), and the contracts that rows keep (`contracts/schemas`).
"""
